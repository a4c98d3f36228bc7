"""Who may make whom a member of a project, in which role and for which repositories."""

import re
from collections.abc import Mapping

from homeport.errors import HomeportError
from homeport.rules.permissions import Principal, ProjectFacts, may_in_project
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole

MAX_PATTERN_LENGTH = 255
MAX_WILDCARDS = 3

ROLE_NAMES: Mapping[int, str] = {
    int(ProjectRole.PROJECT_ADMIN): "projectAdmin",
    int(ProjectRole.DEVELOPER): "developer",
    int(ProjectRole.GUEST): "guest",
    int(ProjectRole.MAINTAINER): "maintainer",
    int(ProjectRole.LIMITED_GUEST): "limitedGuest",
}
ALL_PERMISSIONS = frozenset().union(*ROLE_PERMISSIONS.values())

_PATTERN = re.compile(r"[a-z0-9._/*?{},-]*")
_BRACES = re.compile(r"\{[^{}]*\}")
_STARS = re.compile(r"\*+")


class PatternInvalidError(HomeportError):
    """The text is no pattern of repositories."""


class PermissionsInvalidError(HomeportError):
    """A role cannot be made of these permissions."""


def check_pattern(pattern: str) -> str:
    """Return the pattern unchanged when it is one; the empty one stands for all. Raises PatternInvalidError.

    Wildcards are few, so that matching stays quick whatever name comes.
    """
    if len(pattern) > MAX_PATTERN_LENGTH or _PATTERN.fullmatch(pattern) is None:
        raise PatternInvalidError(
            "the repository pattern has characters that no repository's name has",
            hint="write for example base/* or {web,api}/**, inside the project",
        )
    if any(brace in _BRACES.sub("", pattern) for brace in "{}"):
        raise PatternInvalidError("the braces of the repository pattern do not match")
    stars = _STARS.findall(pattern)
    if len(stars) + len(_BRACES.findall(pattern)) > MAX_WILDCARDS or "***" in pattern:
        raise PatternInvalidError(f"a repository pattern has at most {MAX_WILDCARDS} of *, ** and {{...}}")
    return pattern


def check_permissions(permissions: frozenset[str]) -> frozenset[str]:
    """Return the permissions unchanged when a role can have them. Raises PermissionsInvalidError."""
    unknown = sorted(permissions - ALL_PERMISSIONS)
    if unknown:
        raise PermissionsInvalidError(
            f"no role can have {', '.join(unknown)[:512]}",
            hint="see the permissions of the role projectAdmin",
        )
    if not permissions:
        raise PermissionsInvalidError("a role needs at least one permission")
    return permissions


def may_hand_out(principal: Principal, project: ProjectFacts, permissions: frozenset[str]) -> bool:
    """Tell whether the principal may give or take a role with these permissions: only what it has itself."""
    return all(may_in_project(principal, project, permission) for permission in permissions)
