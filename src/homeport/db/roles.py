"""Custom roles: named sets of permissions beside Harbor's five."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, text, update

from homeport.db.dialect import locked
from homeport.db.rights import FIRST_CUSTOM_ROLE
from homeport.db.schema import project_member, role


@dataclass(frozen=True, slots=True)
class RoleText:
    """What makes a role."""

    name: str
    description: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredRole:
    """A custom role."""

    id: int
    text: RoleText
    created_at: datetime
    updated_at: datetime


_STORED = select(
    role.c.id, role.c.name, role.c.description, role.c.permissions, role.c.created_at, role.c.updated_at
)


def list_roles(connection: Connection) -> list[StoredRole]:
    """Return every custom role, by id."""
    return [_as_stored(row) for row in connection.execute(_STORED.order_by(role.c.id))]


def find_role(connection: Connection, role_id: int) -> StoredRole | None:
    """Return the custom role with that id, locked until the transaction ends, or None."""
    row = connection.execute(locked(connection, _STORED.where(role.c.id == role_id))).first()
    return None if row is None else _as_stored(row)


def has_role_named(connection: Connection, name: str) -> bool:
    """Tell whether a custom role has the name."""
    return bool(connection.execute(select(exists().where(role.c.name == name))).scalar())


def add_role(connection: Connection, wanted: RoleText, now: datetime) -> int:
    """Make the role and return its id; ids begin behind those of Harbor's roles."""
    if connection.dialect.name == "postgresql":
        # the next id and the name are free until this is committed
        connection.execute(text("LOCK TABLE role IN SHARE ROW EXCLUSIVE MODE"))
    highest = connection.execute(select(func.max(role.c.id))).scalar() or 0
    role_id = max(highest + 1, FIRST_CUSTOM_ROLE)
    connection.execute(insert(role).values(id=role_id, created_at=now, updated_at=now, **_columns(wanted)))
    return role_id


def change_role(connection: Connection, role_id: int, wanted: RoleText, now: datetime) -> None:
    """Make the role what is wanted; its members have the new permissions at once."""
    connection.execute(update(role).where(role.c.id == role_id).values(updated_at=now, **_columns(wanted)))


def has_members(connection: Connection, role_id: int) -> bool:
    """Tell whether anybody has the role."""
    return bool(connection.execute(select(exists().where(project_member.c.role_id == role_id))).scalar())


def delete_role(connection: Connection, role_id: int) -> None:
    """Delete the role; the caller has seen that nobody has it."""
    connection.execute(delete(role).where(role.c.id == role_id))


def _columns(wanted: RoleText) -> dict[str, str]:
    return {
        "name": wanted.name,
        "description": wanted.description,
        "permissions": json.dumps(sorted(wanted.permissions)),
    }


def _as_stored(row: Sequence[Any]) -> StoredRole:
    return StoredRole(row[0], RoleText(row[1], row[2], frozenset(json.loads(row[3]))), row[4], row[5])
