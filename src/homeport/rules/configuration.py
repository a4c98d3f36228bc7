"""Which values the configuration's settings can have."""

import json
import re
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from homeport.errors import HomeportError

SettingValue = str | bool | int

MAX_TEXT = 8192
MAX_STORAGE_BYTES = 1024 * 1024**4
AUTH_MODES = ("db_auth", "ldap_auth", "oidc_auth")
AUDIT_EVENT_TYPES = frozenset(
    {
        "create_artifact",
        "delete_artifact",
        "pull_artifact",
        "create_project",
        "update_project",
        "delete_project",
        "delete_repository",
        "login_user",
        "logout_user",
        "create_user",
        "update_user",
        "delete_user",
        "create_robot",
        "delete_robot",
        "create_member",
        "update_member",
        "delete_member",
        "update_configuration",
    }
)

_NUMBER_RANGES: Mapping[str, tuple[int, int]] = {
    "session_timeout": (1, 525_600),
    "token_expiration": (1, 1440),
    "robot_token_duration": (-1, 36_500),
    "storage_per_project": (-1, MAX_STORAGE_BYTES),
    "ldap_scope": (0, 2),
    "ldap_group_search_scope": (0, 2),
    "ldap_timeout": (1, 600),
    "audit_retention_pull_days": (0, 36_500),
    "audit_retention_access_days": (0, 36_500),
    "audit_retention_change_days": (0, 36_500),
}
_NEVER_ZERO = {"robot_token_duration", "storage_per_project"}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "auth_mode": AUTH_MODES,
    "project_creation_restriction": ("everyone", "adminonly"),
}
_ROBOT_PREFIX = re.compile(r"[A-Za-z0-9$+._-]{1,64}")


class SettingInvalidError(HomeportError):
    """The setting does not exist or cannot have the value."""


def check_setting(name: str, value: object, kind: type) -> SettingValue:
    """Return the value when the setting can have it; `kind` is its type. Raises SettingInvalidError."""
    # a JSON true is no number, although Python's bool is an int
    if kind not in {str, bool, int}:
        raise SettingInvalidError(f"there is no setting {name!r}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SettingInvalidError(f"{name} must be a {_KIND_NAMES[kind]}")
    if isinstance(value, str):
        return _check_text(name, value)
    if isinstance(value, int) and not isinstance(value, bool):
        low, high = _NUMBER_RANGES.get(name, (-(2**31), 2**31 - 1))
        if not low <= value <= high or (value == 0 and name in _NEVER_ZERO):
            raise SettingInvalidError(f"{name} must be a number from {low} to {high}")
    if isinstance(value, (str, bool, int)):
        return value
    raise SettingInvalidError(f"{name} must be a {_KIND_NAMES[kind]}")


def check_together(values: Mapping[str, SettingValue]) -> None:
    """Raise SettingInvalidError when settings that can be on their own cannot be together."""
    endpoints = (values["audit_log_forward_endpoint"], values["audit_webhook_endpoint"])
    if values["skip_audit_log_database"] and not any(endpoints):
        raise SettingInvalidError(
            "skip_audit_log_database needs an audit_log_forward_endpoint or audit_webhook_endpoint",
            hint="records that are not kept must go somewhere",
        )


_KIND_NAMES: Mapping[type, str] = {str: "text", bool: "boolean", int: "number"}


def _check_text(name: str, value: str) -> str:
    if len(value) > MAX_TEXT or "\0" in value:
        raise SettingInvalidError(f"{name} is longer than {MAX_TEXT} characters or holds a NUL")
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        raise SettingInvalidError(f"{name} must be one of {', '.join(choices)}")
    check = _TEXT_CHECKS.get(name)
    if check is not None:
        problem = check(value)
        if problem:
            raise SettingInvalidError(f"{name} {problem}")
    return value


def _robot_prefix(value: str) -> str:
    return "" if _ROBOT_PREFIX.fullmatch(value) else "must be 1 to 64 letters, digits or any of $ + . _ -"


def _scheme(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value:
            return ""
        try:
            parts = urlsplit(value)
            is_good = parts.scheme in schemes and bool(parts.hostname) and parts.username is None
            is_good = is_good and (parts.port is None or parts.port > 0)
        except ValueError:
            is_good = False
        return "" if is_good else f"must be a URL that starts with {' or '.join(f'{s}://' for s in schemes)}"

    return check


def _host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    is_good = not value or (
        bool(colon)
        and re.fullmatch(r"[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]", host) is not None
        and re.fullmatch(r"[0-9]{1,5}", port) is not None
        and 0 < int(port) < 2**16
    )
    return "" if is_good else "must be HOST:PORT"


def _certificates(value: str) -> str:
    if not value:
        return ""
    try:
        ssl.create_default_context(cadata=value)
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: not ASCII
        return "must be certificates in PEM form"
    return ""


def _oidc_scope(value: str) -> str:
    names = [name.strip() for name in value.split(",")]
    return "" if not value or "openid" in names else "must contain openid"


def _json_texts(value: str) -> str:
    try:
        parsed = json.loads(value or "{}")
    except (ValueError, RecursionError):
        parsed = None
    is_good = isinstance(parsed, dict) and all(isinstance(each, str) for each in parsed.values())
    return "" if is_good else "must be a JSON object whose values are texts"


def _banner(value: str) -> str:
    if not value:
        return ""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    return "" if isinstance(parsed, dict) else "must be empty or a JSON object"


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error:
        return "must be a regular expression"
    return ""


def _event_types(value: str) -> str:
    unknown = [name for name in value.split(",") if name and name not in AUDIT_EVENT_TYPES]
    return f"names unknown events: {', '.join(unknown)[:256]}" if unknown else ""


def _ldap_filter(value: str) -> str:
    is_good = not value or (
        value.startswith("(") and value.endswith(")") and value.count("(") == value.count(")")
    )
    return "" if is_good else "must be a filter in parentheses"


_TEXT_CHECKS: Mapping[str, Callable[[str], str]] = {
    "robot_name_prefix": _robot_prefix,
    "ldap_url": _scheme("ldap", "ldaps"),
    "ldap_filter": _ldap_filter,
    "ldap_ca_certificate": _certificates,
    "oidc_ca_certificate": _certificates,
    "ldap_group_search_filter": _ldap_filter,
    "oidc_endpoint": _scheme("https", "http"),
    "http_authproxy_endpoint": _scheme("https", "http"),
    "http_authproxy_tokenreview_endpoint": _scheme("https", "http"),
    "uaa_endpoint": _scheme("https", "http"),
    "oidc_scope": _oidc_scope,
    "oidc_group_filter": _regular_expression,
    "oidc_extra_redirect_parms": _json_texts,
    "banner_message": _banner,
    "disabled_audit_log_event_types": _event_types,
    "audit_log_forward_endpoint": _host_and_port,
    "audit_forward_ca_certificate": _certificates,
    "audit_webhook_endpoint": _scheme("https", "http"),
}
