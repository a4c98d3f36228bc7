"""Accounts for the users of a directory or an OpenID provider: made at the first sign-in, kept up to date."""

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from homeport.auth.errors import AuthenticationError
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.external_users import (
    ExternalGroup,
    ExternalUser,
    ensure_group,
    find_user_by_external_id,
    find_user_by_name,
    has_local_name,
    insert_external_user,
    join_groups,
    leave_groups,
    read_user_groups,
    update_external_user,
)
from homeport.db.robots import read_robot_prefix
from homeport.rules.usergroups import MAX_DN_LENGTH, MAX_NAME_LENGTH, GroupKind
from homeport.rules.users import UserInvalidError, check_username

LDAP = "ldap"
OIDC = "oidc"
MAX_EXTERNAL_ID_LENGTH = 512

_KINDS = {LDAP: GroupKind.LDAP, OIDC: GroupKind.OIDC}
_MAX_GROUPS = 500
_RESERVED = {"anonymous"}


class OnboardingRefusedError(AuthenticationError):
    """The source knows the user, but there can be no account for it; the message says why."""

    def __init__(self, reason: str, username: str) -> None:
        super().__init__(reason, account=username, hint="ask an administrator")


class NameTakenError(OnboardingRefusedError):
    """The name belongs to another account."""

    def __init__(self, username: str) -> None:
        super().__init__("the user name belongs to another account", username)


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """A user as its source describes it at a sign-in. `groups` is None when it said nothing of them."""

    source: str
    external_id: str
    username: str
    email: str = ""
    realname: str = ""
    groups: tuple[ExternalGroup, ...] | None = ()
    is_admin: bool = False


def onboard(connection: Connection, identity: ExternalIdentity, actor: Actor, now: datetime) -> int:
    """Return the id of the user's account, which is made at first, and store what the source says of it.

    A name never leads to an account of another source, and for OpenID providers never to another subject's.
    Within a directory the name is who somebody is: an entry may move. Raises OnboardingRefusedError.
    """
    known = _find_known(connection, identity)
    wanted = ExternalUser(
        0 if known is None else known.id,
        identity.username if known is None or identity.source == LDAP else known.username,
        identity.source,
        identity.external_id,
        _shortened(identity.email),
        _shortened(identity.realname),
        identity.is_admin,
    )
    if known is None:
        wanted = _make(connection, wanted, actor, now)
    elif known != wanted:
        update_external_user(connection, wanted, now)
        _record_update(connection, known, wanted, actor)
    if identity.groups is not None:
        _set_groups(connection, wanted, identity.groups, (actor, now))
    return wanted.id


def check_onboarding_name(connection: Connection, username: str) -> None:
    """Raise OnboardingRefusedError when no account can be made with the name, taken ones included."""
    try:
        check_username(username)
    except UserInvalidError as error:
        raise OnboardingRefusedError(str(error), username) from None
    if username.lower() in _RESERVED or username.startswith(read_robot_prefix(connection)):
        raise OnboardingRefusedError("the user name is reserved", username)
    if has_local_name(connection, username) or find_user_by_name(connection, username) is not None:
        raise NameTakenError(username)


def _find_known(connection: Connection, identity: ExternalIdentity) -> ExternalUser | None:
    if not 0 < len(identity.external_id) <= MAX_EXTERNAL_ID_LENGTH:
        raise OnboardingRefusedError("the user's id at its source is too long", identity.username)
    by_id = find_user_by_external_id(connection, identity.source, identity.external_id)
    if by_id is not None and identity.source != LDAP:
        return by_id
    if by_id is not None and by_id.username == identity.username:
        return by_id
    by_name = find_user_by_name(connection, identity.username)
    if by_name is not None and (by_name.source, identity.source, by_id) == (LDAP, LDAP, None):
        return by_name
    check_onboarding_name(connection, identity.username)
    return by_id


def _make(connection: Connection, wanted: ExternalUser, actor: Actor, now: datetime) -> ExternalUser:
    # no password fits; what makes sessions and tokens of a deleted account end with it
    password_hash = f"{wanted.source}${secrets.token_hex(16)}"
    user_id = insert_external_user(connection, wanted, password_hash, now)
    if user_id is None:
        raise NameTakenError(wanted.username)
    after = {"source": wanted.source, "external_id": wanted.external_id, "admin": wanted.is_admin_in_source}
    target = Target(reference=wanted.username)
    add_records(connection, [actor.record("create_user", target, detail=wanted.source, after=after)])
    return replace(wanted, id=user_id)


def _record_update(connection: Connection, known: ExternalUser, wanted: ExternalUser, actor: Actor) -> None:
    old, new = asdict(known), asdict(wanted)
    changed = [name for name in new if old[name] != new[name]]
    before, after = ({name: state[name] for name in changed} for state in (old, new))
    target = Target(reference=wanted.username)
    record = actor.record("update_user", target, detail=wanted.source, before=before, after=after)
    add_records(connection, [record])


def _set_groups(
    connection: Connection,
    user: ExternalUser,
    groups: tuple[ExternalGroup, ...],
    when: tuple[Actor, datetime],
) -> None:
    actor, now = when
    kind = _KINDS[user.source]
    old = read_user_groups(connection, user.id, kind)
    ids = {
        group_id
        for group in groups[:_MAX_GROUPS]
        if _is_storable(group) and (group_id := ensure_group(connection, kind, group, now)) is not None
    }
    if ids == set(old):
        return
    join_groups(connection, user.id, ids - set(old))
    leave_groups(connection, user.id, set(old) - ids)
    new = read_user_groups(connection, user.id, kind)
    target = Target(reference=user.username)
    before, after = {"groups": sorted(old.values())}, {"groups": sorted(new.values())}
    record = actor.record("update_user", target, detail=user.source, before=before, after=after)
    add_records(connection, [record])


def _is_storable(group: ExternalGroup) -> bool:
    is_named = 0 < len(group.name.strip()) <= len(group.name) <= MAX_NAME_LENGTH and group.name.isprintable()
    return is_named and len(group.dn) <= MAX_DN_LENGTH


def _shortened(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MAX_NAME_LENGTH]
