"""Who may do what: the one place that decides it, for the token service and for every request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from homeport.rules.roles import PUBLIC_PERMISSIONS


class RepositoryAction(StrEnum):
    """What can be done to a repository, in the words of the token scopes."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


ALL_ACTIONS = frozenset(RepositoryAction)
NO_ACTIONS: frozenset[RepositoryAction] = frozenset()

_NEEDED = {
    RepositoryAction.PULL: "repository:pull",
    RepositoryAction.PUSH: "repository:push",
    RepositoryAction.DELETE: "artifact:delete",
}


class PrincipalKind(StrEnum):
    """What kind of account acts."""

    ANONYMOUS = "anonymous"
    USER = "user"
    ROBOT = "robot"


class AuthMethod(StrEnum):
    """How a principal proved who it is, as the audit records name it."""

    ANONYMOUS = "anonymous"
    BASIC = "basic"
    BEARER = "bearer"
    PASSWORD = "password"  # noqa: S105 - the OAuth2 grant of that name
    SESSION = "session"
    CERTIFICATE = "certificate"
    WORKLOAD = "workload"
    LDAP = "ldap"
    OIDC = "oidc"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True)
class ProjectGrant:
    """Permissions in one project; with a pattern only for repositories whose name in it matches.

    In a pattern `*` stands for anything within a path component, `**` for anything, `?` for one character
    and `{a,b}` for either; an empty one restricts nothing. What is not about a repository needs a grant
    without a pattern.
    """

    permissions: frozenset[str]
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """All that an account may do beside what everybody may: in the system, in projects, in every project.

    `denied` holds what is left out of `every_project` in some projects.
    """

    system: frozenset[str] = frozenset()
    projects: Mapping[int, tuple[ProjectGrant, ...]] = field(default_factory=dict, hash=False)
    every_project: tuple[ProjectGrant, ...] = ()
    denied: Mapping[int, frozenset[str]] = field(default_factory=dict, hash=False)


NO_RIGHTS = Rights()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts. Its facts are those of the account now, not of the moment when a token was issued.

    `user_id` is the id of the user or of the robot, by `kind`.
    """

    name: str
    kind: PrincipalKind
    user_id: int | None
    is_sysadmin: bool
    auth_method: AuthMethod
    rights: Rights = NO_RIGHTS

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return self.kind is PrincipalKind.ANONYMOUS


ANONYMOUS = Principal(
    name="anonymous",
    kind=PrincipalKind.ANONYMOUS,
    user_id=None,
    is_sysadmin=False,
    auth_method=AuthMethod.ANONYMOUS,
)


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What permissions depend on in a project that exists."""

    id: int
    name: str
    is_public: bool


def may_in_system(principal: Principal, permission: str) -> bool:
    """Tell whether the principal has the permission (`resource:action`) on the system's own resources."""
    return principal.is_sysadmin or permission in principal.rights.system


def may_in_project(
    principal: Principal, project: ProjectFacts | None, permission: str, repository: str | None = None
) -> bool:
    """Tell whether the principal has the permission (`resource:action`) in the project.

    `repository` is the full name of the repository that it is about, if it is about one. System
    administrators may do everything, in a project that does not exist (None) too. The most powerful of the
    account's grants wins; everybody has what public projects give.
    """
    if principal.is_sysadmin:
        return True
    if project is None:
        return False
    if project.is_public and permission in PUBLIC_PERMISSIONS:
        return True
    rights = principal.rights
    if rights.denied and permission in rights.denied.get(project.id, ()):
        return False
    for grant in (*rights.projects.get(project.id, ()), *rights.every_project):
        if permission in grant.permissions and (not grant.pattern or _matches(grant, project, repository)):
            return True
    return False


def may_somewhere_in_project(principal: Principal, project: ProjectFacts | None, permission: str) -> bool:
    """Tell whether the principal has the permission on all or some of the project's repositories."""
    if may_in_project(principal, project, permission):
        return True
    rights = principal.rights
    if project is None or permission in rights.denied.get(project.id, ()):
        return False
    grants = (*rights.projects.get(project.id, ()), *rights.every_project)
    return any(permission in grant.permissions for grant in grants)


def repository_actions(
    principal: Principal, project: ProjectFacts | None, repository: str
) -> frozenset[RepositoryAction]:
    """Return what the principal may do in the repository; None is a project that does not exist.

    System administrators may do everything, in a project that does not exist too: their push creates it.
    """
    if principal.is_sysadmin:
        return ALL_ACTIONS
    return frozenset(
        action
        for action, permission in _NEEDED.items()
        if may_in_project(principal, project, permission, repository)
    )


def may_do(
    principal: Principal, project: ProjectFacts | None, action: RepositoryAction, repository: str
) -> bool:
    """Tell whether the principal may do this to the repository."""
    return may_in_project(principal, project, _NEEDED[action], repository)


def may_list_catalog(principal: Principal) -> bool:
    """Tell whether the principal may list repositories at all; which ones, `sees_every_repository` says."""
    return not principal.is_anonymous


def sees_every_repository(principal: Principal) -> bool:
    """Tell whether the catalog shows every repository, or only those that the principal may list."""
    return may_in_system(principal, "catalog:read")


def _matches(grant: ProjectGrant, project: ProjectFacts, repository: str | None) -> bool:
    if repository is None:
        return False
    inside = repository.removeprefix(f"{project.name}/")
    return _compile(grant.pattern).fullmatch(inside) is not None


@lru_cache(maxsize=4096)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern_expression(pattern), re.DOTALL)


def pattern_expression(pattern: str) -> str:
    """Return a grant's pattern as a regular expression, one that databases understand too.

    An unbalanced brace stands for itself.
    """
    parts = re.split(r"(\*\*|\*|\?|\{[^{}]*\})", pattern)
    translated = []
    for part in parts:
        match part:
            case "**":
                translated.append(".*")
            case "*":
                translated.append("[^/]*")
            case "?":
                translated.append("[^/]")
            case _ if part.startswith("{") and part.endswith("}"):
                translated.append(f"(?:{'|'.join(map(re.escape, part[1:-1].split(',')))})")
            case _:
                translated.append(re.escape(part))
    return "".join(translated)
