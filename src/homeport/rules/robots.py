"""What a robot may be called, may be granted and may carry, and when it ends."""

import re
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from homeport.errors import HomeportError
from homeport.rules.permissions import (
    Principal,
    ProjectFacts,
    ProjectGrant,
    Rights,
    may_in_project,
    may_in_system,
)
from homeport.rules.roles import (
    ROBOT_PROJECT_EXTRA_PERMISSIONS,
    ROBOT_PROJECT_PERMISSIONS,
    ROBOT_SYSTEM_EXTRA_PERMISSIONS,
    ROBOT_SYSTEM_PERMISSIONS,
)

DEFAULT_PREFIX = "robot$"
DEFAULT_DURATION_DAYS = 30
NEVER = -1
MAX_DURATION_DAYS = 36_500
MAX_NAME_LENGTH = 255
MAX_OVERLAP_HOURS = 30 * 24
MAX_SECRETS = 2
WARN_BEFORE = timedelta(days=7)

GRANTABLE_IN_SYSTEM = ROBOT_SYSTEM_PERMISSIONS | ROBOT_SYSTEM_EXTRA_PERMISSIONS
GRANTABLE_IN_PROJECT = ROBOT_PROJECT_PERMISSIONS | ROBOT_PROJECT_EXTRA_PERMISSIONS

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MIN_SECRET, _MAX_SECRET = 8, 128
_GENERATED_LENGTH = 32
_ALPHABET = string.ascii_letters + string.digits
# what robots are granted under another word than the one that is asked for
_SELF = "project:"


class RobotInvalidError(HomeportError):
    """A robot cannot be like this."""


@dataclass(frozen=True, slots=True)
class RobotPermission:
    """One permission of a robot (`resource:action`) in the system, in a project, or in every project (None).

    A denied one is taken away from what the robot has otherwise.
    """

    is_system: bool
    project_id: int | None
    permission: str
    is_denied: bool = False


def check_robot_name(name: str) -> None:
    """Raise RobotInvalidError unless a robot can be called this."""
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise RobotInvalidError(
            "the robot name is not valid",
            hint="use lower case letters and digits, with single '.', '_' or '-' between them",
        )


def login_name(prefix: str, name: str, project_name: str | None) -> str:
    """Return the name that a robot signs in with."""
    return f"{prefix}{name}" if project_name is None else f"{prefix}{project_name}+{name}"


def split_login_name(prefix: str, username: str) -> tuple[str | None, str] | None:
    """Return project and name of a robot's login name, None when it cannot be one."""
    if not username.startswith(prefix):
        return None
    project_name, plus, name = username.removeprefix(prefix).rpartition("+")
    return (project_name if plus else None), name


def check_secret(secret: str) -> None:
    """Raise RobotInvalidError unless the secret is one that Harbor takes too."""
    kinds = (string.ascii_uppercase, string.ascii_lowercase, string.digits)
    if not _MIN_SECRET <= len(secret) <= _MAX_SECRET or not all(
        any(character in kind for character in secret) for kind in kinds
    ):
        raise RobotInvalidError(
            "the secret is too weak",
            hint=f"use {_MIN_SECRET} to {_MAX_SECRET} characters with an upper case letter, a lower case "
            "letter and a digit",
        )


def make_secret() -> str:
    """Return a random secret of 190 bits that every client takes."""
    while True:
        secret = "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))
        try:
            check_secret(secret)
        except RobotInvalidError:
            continue
        return secret


def check_duration(days: int) -> None:
    """Raise RobotInvalidError unless it is a number of days or -1, for ever."""
    if days != NEVER and not 1 <= days <= MAX_DURATION_DAYS:
        raise RobotInvalidError(
            "the robot's duration is not valid", hint=f"use -1 or 1 to {MAX_DURATION_DAYS} days"
        )


def expiry(created_at: datetime, duration_days: int) -> datetime | None:
    """Return when a robot of that age ends; None is never."""
    return None if duration_days == NEVER else created_at + timedelta(days=duration_days)


def expand(*, is_system: bool, resource: str, action: str) -> list[str]:
    """Return the permissions that resource and action stand for; `*` stands for all that may be granted.

    Raises RobotInvalidError when it is nothing that robots may be granted there.
    """
    grantable = GRANTABLE_IN_SYSTEM if is_system else GRANTABLE_IN_PROJECT
    resource = "project" if resource == "." else resource
    found = sorted(
        permission
        for permission in grantable
        if resource in {"*", permission.partition(":")[0]} and action in {"*", permission.partition(":")[2]}
    )
    if not found:
        level = "system" if is_system else "project"
        raise RobotInvalidError(
            f"a robot cannot be granted {resource}:{action} at {level} level", hint="see GET /permissions"
        )
    return found


def rights_of(permissions: Iterable[RobotPermission]) -> Rights:
    """Return the rights that the permissions make."""
    allowed: dict[int | None, set[str]] = {}
    denied: dict[int | None, set[str]] = {}
    system: set[str] = set()
    not_in_system: set[str] = set()
    for each in permissions:
        if each.is_system:
            (not_in_system if each.is_denied else system).add(each.permission)
        else:
            side = denied if each.is_denied else allowed
            side.setdefault(each.project_id, set()).add(decided_as(each.permission))
    everywhere = denied.pop(None, set())
    every_project = allowed.pop(None, set()) - everywhere
    return Rights(
        system=frozenset(system - not_in_system),
        projects={
            project_id: (ProjectGrant(frozenset(granted - everywhere - denied.get(project_id, set()))),)
            for project_id, granted in allowed.items()
            if project_id is not None
        },
        every_project=(ProjectGrant(frozenset(every_project)),) if every_project else (),
        denied={
            project_id: frozenset(taken) for project_id, taken in denied.items() if project_id is not None
        },
    )


def decided_as(permission: str) -> str:
    """Return the permission as decisions name it: what concerns a project itself is `.` there."""
    if permission.startswith(_SELF):
        return f".:{permission.removeprefix(_SELF)}"
    return permission


def may_grant(
    grantor: Principal, wanted: RobotPermission, project: ProjectFacts | None, *, in_every_project: bool
) -> bool:
    """Tell whether the grantor has what it wants to give to a robot: nobody gives more than they have.

    `project` is the permission's, None for one of the system or of every project.
    """
    if grantor.is_sysadmin or wanted.is_denied:
        return True
    if wanted.is_system:
        return may_in_system(grantor, wanted.permission)
    # project administrators may read metadata and so list it; the list has no permission of its own
    names = {decided_as(wanted.permission)}
    if wanted.permission == "metadata:list":
        names.add("metadata:read")
    if in_every_project:
        if any(names & taken for taken in grantor.rights.denied.values()):
            return False
        return any(
            name in grant.permissions
            for grant in grantor.rights.every_project
            for name in names
            if not grant.pattern
        )
    return project is not None and any(_has_itself(grantor, project, name) for name in names)


def _has_itself(grantor: Principal, project: ProjectFacts, permission: str) -> bool:
    """Tell whether the grantor has the permission whatever becomes of the project's visibility."""
    return may_in_project(grantor, ProjectFacts(project.id, project.name, is_public=False), permission)


def is_expiry_near(expires_at: datetime | None, now: datetime) -> bool:
    """Tell whether people should hear that a robot ends soon."""
    return expires_at is not None and now < expires_at <= now + WARN_BEFORE


@dataclass(frozen=True, slots=True)
class ClaimPattern:
    """What a claim of an identity token must look like: one of the patterns.

    In a pattern `*` stands for anything but `/` and `:`, `**` for anything.
    """

    path: str
    patterns: tuple[str, ...]


def claims_match(wanted: Iterable[ClaimPattern], claims: Mapping[str, Any]) -> bool:
    """Tell whether every wanted claim is there and matches; of a list, one value must."""
    return all(_claim_matches(pattern, claims) for pattern in wanted)


def check_claim_patterns(wanted: tuple[ClaimPattern, ...]) -> None:
    """Raise RobotInvalidError unless the patterns single out some workloads of an issuer.

    Issuers such as GitHub give tokens to the whole world, so a rule that any token meets is refused.
    """
    if any(not pattern.patterns for pattern in wanted):
        raise RobotInvalidError("a claim has no pattern")
    if not any(all(re.search(r"\w", text) for text in pattern.patterns) for pattern in wanted):
        raise RobotInvalidError(
            "the rule trusts every workload of the issuer", hint="give patterns of the claim sub"
        )


def _claim_matches(wanted: ClaimPattern, claims: Mapping[str, Any]) -> bool:
    value = _find_claim(wanted.path, claims)
    values = value if isinstance(value, list) else [value]
    texts = [text for text in map(_claim_text, values) if text is not None]
    return any(_glob(pattern).fullmatch(text) for pattern in wanted.patterns for text in texts)


def _find_claim(path: str, claims: Mapping[str, Any]) -> Any:
    """Return the claim of that very name, or the one inside objects that a path with slashes leads to."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("/"):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def _claim_text(value: Any) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case _:
            return None


def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*{2,}|\*)", pattern)
    text = "".join(
        "[^/:]*" if part == "*" else ".*" if part.startswith("**") else re.escape(part) for part in parts
    )
    return re.compile(text, re.DOTALL)
