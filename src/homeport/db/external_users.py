"""Accounts that a directory or an OpenID provider vouches for, and the groups that it puts them in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from homeport.db.dialect import insert_new, insert_or_keep, locked
from homeport.db.schema import user_account, user_group, user_group_member
from homeport.db.usergroups import find_same_group, insert_group
from homeport.rules.usergroups import GroupKind


@dataclass(frozen=True, slots=True)
class ExternalUser:
    """What was stored of a user at its last sign-in."""

    id: int
    username: str
    source: str
    external_id: str | None
    email: str
    realname: str
    is_admin_in_source: bool


@dataclass(frozen=True, slots=True)
class ExternalGroup:
    """A group as the source names it; `dn` is empty outside LDAP."""

    name: str
    dn: str = ""


_COLUMNS = (
    user_account.c.id,
    user_account.c.username,
    user_account.c.source,
    user_account.c.external_id,
    user_account.c.email,
    user_account.c.realname,
    user_account.c.is_admin_in_source,
)


def find_user_by_name(connection: Connection, username: str) -> ExternalUser | None:
    """Return the user of that name, of any source, or None; nobody changes it until the transaction ends."""
    statement = select(*_COLUMNS).where(user_account.c.username == username)
    row = connection.execute(locked(connection, statement)).first()
    return None if row is None else ExternalUser(*row)


def find_user_by_external_id(connection: Connection, source: str, external_id: str) -> ExternalUser | None:
    """Return the user that the source knows by that id, or None; held as by `find_user_by_name`."""
    statement = select(*_COLUMNS).where(
        user_account.c.source == source, user_account.c.external_id == external_id
    )
    row = connection.execute(locked(connection, statement)).first()
    return None if row is None else ExternalUser(*row)


def has_local_name(connection: Connection, username: str) -> bool:
    """Tell whether a local account has the name, whatever its case."""
    statement = select(user_account.c.id).where(
        func.lower(user_account.c.username) == username.lower(), user_account.c.source == "local"
    )
    return connection.execute(statement.limit(1)).first() is not None


def insert_external_user(
    connection: Connection, user: ExternalUser, password_hash: str, now: datetime
) -> int | None:
    """Make the user, whose own id does not count, and return its id; None when name or external id exist."""
    row = {
        "username": user.username,
        "password_hash": password_hash,
        "is_sysadmin": False,
        "created_at": now,
        "updated_at": now,
        "email": user.email,
        "realname": user.realname,
        "source": user.source,
        "external_id": user.external_id,
        "is_admin_in_source": user.is_admin_in_source,
    }
    return insert_new(connection, user_account, row)


def update_external_user(connection: Connection, user: ExternalUser, now: datetime) -> None:
    """Store what the source says now of the user with that id."""
    statement = update(user_account).where(user_account.c.id == user.id)
    connection.execute(
        statement.values(
            username=user.username,
            external_id=user.external_id,
            email=user.email,
            realname=user.realname,
            is_admin_in_source=user.is_admin_in_source,
            updated_at=now,
        )
    )


def ensure_group(connection: Connection, kind: GroupKind, group: ExternalGroup, now: datetime) -> int | None:
    """Return the id of the group, which is made unless it is known; None when it was just deleted."""
    found = find_same_group(connection, kind, group.name, group.dn)
    if found is not None:
        return found.id
    return insert_group(connection, kind, group.name, group.dn, now)


def read_user_groups(connection: Connection, user_id: int, kind: GroupKind) -> dict[int, str]:
    """Return the ids and names of the user's groups of that kind."""
    rows = connection.execute(
        select(user_group.c.id, user_group.c.name)
        .join(user_group_member, user_group_member.c.group_id == user_group.c.id)
        .where(user_group_member.c.user_id == user_id, user_group.c.kind == int(kind))
    )
    return {group_id: name for group_id, name in rows}  # noqa: C416 - rows are no pairs to the type checker


def join_groups(connection: Connection, user_id: int, group_ids: Iterable[int]) -> None:
    """Put the user into the groups."""
    rows = [{"user_id": user_id, "group_id": group_id} for group_id in group_ids]
    if rows:
        insert_or_keep(connection, user_group_member, rows)


def leave_groups(connection: Connection, user_id: int, group_ids: Iterable[int]) -> None:
    """Take the user out of the groups."""
    ids = list(group_ids)
    if ids:
        connection.execute(
            delete(user_group_member).where(
                user_group_member.c.user_id == user_id, user_group_member.c.group_id.in_(ids)
            )
        )


def forget_source_admins(connection: Connection) -> None:
    """Take the rights of system administrators from all who have them by the word of their source."""
    connection.execute(
        update(user_account).where(user_account.c.is_admin_in_source).values(is_admin_in_source=False)
    )
