"""Which repositories a list may show to somebody, in a form that a database can filter by."""

import re
from dataclasses import dataclass

from homeport.rules.permissions import Principal, ProjectFacts, pattern_expression
from homeport.rules.roles import PUBLIC_PERMISSIONS


@dataclass(frozen=True, slots=True)
class RepositoryScope:
    """The repositories on which somebody has one permission.

    `everywhere` are all projects but those of `except_in`; `in_public` the public ones; `projects` whole
    projects; `patterns` are (project id, regular expression of full names), `patterns_everywhere` the
    expressions that count in all projects but those of `except_in`.
    """

    everywhere: bool = False
    except_in: frozenset[int] = frozenset()
    in_public: bool = False
    projects: frozenset[int] = frozenset()
    patterns: tuple[tuple[int, str], ...] = ()
    patterns_everywhere: tuple[str, ...] = ()


def repository_scope(principal: Principal, permission: str) -> RepositoryScope:
    """Return on which repositories the principal has the permission; `may_in_project` decides the same."""
    if principal.is_sysadmin:
        return RepositoryScope(everywhere=True)
    rights = principal.rights
    denied = frozenset(id_ for id_, permissions in rights.denied.items() if permission in permissions)
    projects: set[int] = set()
    patterns: list[tuple[int, str]] = []
    for project_id, grants in rights.projects.items():
        for grant in grants:
            if permission not in grant.permissions or project_id in denied:
                continue
            if grant.pattern:
                patterns.append((project_id, rf"^[^/]+/({pattern_expression(grant.pattern)})$"))
            else:
                projects.add(project_id)
    everywhere = [grant.pattern for grant in rights.every_project if permission in grant.permissions]
    return RepositoryScope(
        everywhere="" in everywhere,
        except_in=denied,
        in_public=permission in PUBLIC_PERMISSIONS,
        projects=frozenset(projects),
        patterns=tuple(patterns),
        patterns_everywhere=tuple(
            rf"^[^/]+/({pattern_expression(pattern)})$" for pattern in everywhere if pattern
        ),
    )


def is_in_scope(scope: RepositoryScope, project: ProjectFacts, repository: str) -> bool:
    """Tell whether a repository is in the scope, as the database finds it."""
    if (scope.in_public and project.is_public) or project.id in scope.projects:
        return True
    if any(id_ == project.id and re.search(text, repository) for id_, text in scope.patterns):
        return True
    if project.id in scope.except_in:
        return False
    return scope.everywhere or any(re.search(text, repository) for text in scope.patterns_everywhere)
