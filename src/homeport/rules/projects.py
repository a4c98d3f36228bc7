"""What a project can be called, what its metadata can say, and who sees it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from homeport.errors import HomeportError
from homeport.rules.permissions import Principal, may_in_system
from homeport.rules.visibility import repository_scope

MAX_NAME_LENGTH = 255
PUBLIC = "public"

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SWITCHES = {
    PUBLIC,
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
    "proxy_cache_local_on_not_found",
    "proxy_referrer_api",
}
_NUMBERS = {"proxy_speed_kb", "max_upstream_conn"}
_SEVERITIES = ("none", "low", "medium", "high", "critical")
_FILTER_KINDS = ("doublestar", "regex")
_TRUE, _FALSE = {"true", "1", "t"}, {"false", "0", "f"}
_NUMBER = re.compile(r"-1|[0-9]{1,9}")
_MAX_PATTERN = 1024
_MAX_CVES = 5000
_CVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_MAX_TIME_S = 253_402_300_799


class ProjectInvalidError(HomeportError):
    """A project cannot have this name or these properties."""


@dataclass(frozen=True, slots=True)
class CveAllowlist:
    """Vulnerabilities that block no pull; `expires_at` is in seconds since 1970, None for never."""

    cve_ids: tuple[str, ...] = ()
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class ProjectScope:
    """Which projects somebody sees: all but some, the public ones, and those of these ids."""

    everywhere: bool = False
    except_in: frozenset[int] = frozenset()
    in_public: bool = True
    project_ids: frozenset[int] = frozenset()


def check_project_name(name: str) -> str:
    """Return the name unchanged when a new project can have it. Raises ProjectInvalidError."""
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise ProjectInvalidError(
            "the project name is not in lower case or contains illegal characters",
            hint="use 1 to 255 lower case letters and digits, with single '.', '_' or '-' between them",
        )
    return name


def check_metadata(name: str, value: str) -> str:
    """Return the value as it is stored. Raises ProjectInvalidError for an unknown name or a wrong value."""
    lowered = value.strip().lower()
    if name in _SWITCHES:
        if lowered in _TRUE:
            return "true"
        if lowered in _FALSE:
            return "false"
        raise ProjectInvalidError(f"{name} must be true or false")
    if name in _NUMBERS:
        if _NUMBER.fullmatch(lowered) is None:
            raise ProjectInvalidError(f"{name} must be a number, -1 for unlimited")
        return lowered
    if name == "severity":
        return _choice(name, lowered, _SEVERITIES)
    if name == "proxy_cache_filter_kind":
        return _choice(name, lowered, _FILTER_KINDS)
    if name == "proxy_cache_filter_pattern":
        if len(value) > _MAX_PATTERN or not value.isprintable():
            raise ProjectInvalidError(f"{name} must have at most {_MAX_PATTERN} printable characters")
        return value
    raise ProjectInvalidError(f"invalid key: {name[:255]}")


def check_all_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return all of the values as they are stored. Raises ProjectInvalidError."""
    return {name: check_metadata(name, value) for name, value in metadata.items()}


def check_allowlist(cve_ids: list[str], expires_at: int | None) -> CveAllowlist:
    """Return the allowlist. Raises ProjectInvalidError."""
    if len(cve_ids) > _MAX_CVES:
        raise ProjectInvalidError(f"a CVE allowlist has at most {_MAX_CVES} entries")
    for cve_id in cve_ids:
        if _CVE.fullmatch(cve_id) is None:
            raise ProjectInvalidError(
                f"{cve_id[:80]!r} is no id of a vulnerability", hint="use CVE-2019-10164"
            )
    if len(set(cve_ids)) != len(cve_ids):
        raise ProjectInvalidError("the CVE allowlist names a vulnerability twice")
    if expires_at is not None and not 0 <= expires_at <= _MAX_TIME_S:
        raise ProjectInvalidError("expires_at must be a time in seconds since 1970")
    return CveAllowlist(tuple(cve_ids), expires_at)


def project_scope(principal: Principal) -> ProjectScope:
    """Return which projects the principal sees: where it may read the project or some of its repositories."""
    if may_in_system(principal, "project:list"):
        return ProjectScope(everywhere=True)
    scope = repository_scope(principal, ".:read")
    return ProjectScope(
        everywhere=scope.everywhere or bool(scope.patterns_everywhere),
        except_in=scope.except_in,
        in_public=scope.in_public,
        project_ids=scope.projects | {project_id for project_id, _ in scope.patterns},
    )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ProjectInvalidError(f"{name} must be one of {', '.join(choices)}")
    return value
