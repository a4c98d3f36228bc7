"""Which groups there can be."""

from enum import IntEnum

from homeport.errors import HomeportError

MAX_NAME_LENGTH = 255
MAX_DN_LENGTH = 512


class GroupKind(IntEnum):
    """Who knows the group's members, by the ids that Harbor's API uses."""

    LDAP = 1
    HTTP = 2
    OIDC = 3


class GroupInvalidError(HomeportError):
    """There can be no such group."""


def check_group_name(name: str) -> None:
    """Raise GroupInvalidError when no group can have the name."""
    if not 0 < len(name.strip()) <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise GroupInvalidError(f"the group name must have 1 to {MAX_NAME_LENGTH} printable characters")


def check_group(kind: int, name: str, ldap_group_dn: str) -> GroupKind:
    """Return the group's kind when there can be such a group. Raises GroupInvalidError."""
    if kind not in set(GroupKind):
        raise GroupInvalidError("the group type must be 1 (LDAP), 2 (HTTP) or 3 (OIDC)")
    check_group_name(name)
    if kind == GroupKind.LDAP:
        if "=" not in ldap_group_dn or len(ldap_group_dn) > MAX_DN_LENGTH or not ldap_group_dn.isprintable():
            raise GroupInvalidError("an LDAP group needs its distinguished name", hint="send ldap_group_dn")
    elif ldap_group_dn:
        raise GroupInvalidError("only an LDAP group has a distinguished name", hint="omit ldap_group_dn")
    return GroupKind(kind)
