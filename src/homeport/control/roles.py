"""Custom roles; only system administrators make and change them, so nobody can widen its own rights."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.changes import Change, record_change
from homeport.control.errors import BadRequestError, ConflictError, NotFoundError, PreconditionError
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.roles import (
    RoleText,
    StoredRole,
    add_role,
    change_role,
    delete_role,
    find_role,
    has_members,
    has_role_named,
    list_roles,
)
from homeport.rules.members import ROLE_NAMES, PermissionsInvalidError, check_permissions

_MAX_ID = 2**63 - 1
_MAX_NAME = 255
_MAX_ROLES = 1000


class Roles:
    """The custom roles; callers have checked that a system administrator asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[StoredRole]:
        """Return every custom role, by id."""
        return await self._database.read(list_roles)

    async def find(self, role_id: int) -> StoredRole | None:
        """Return the custom role with that id, or None."""
        found = [role for role in await self.list() if role.id == role_id]
        return found[0] if found else None

    async def add(self, actor: Actor, wanted: RoleText) -> int:
        """Make the role and return its id. Raises BadRequestError, ConflictError."""
        _check(wanted)
        return await self._database.write(_add, actor, wanted)

    async def change(self, actor: Actor, role_id: int, wanted: RoleText) -> None:
        """Make the role what is wanted. Raises BadRequestError, ConflictError, NotFoundError."""
        _check(wanted)
        await self._database.write(_change, actor, role_id, wanted)

    async def delete(self, actor: Actor, role_id: int) -> None:
        """Delete the role. Raises NotFoundError, and PreconditionError while members have it."""
        await self._database.write(_delete, actor, role_id)


def _check(wanted: RoleText) -> None:
    name = wanted.name
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or name != name.strip():
        raise BadRequestError(f"a role's name has 1 to {_MAX_NAME} printable characters")
    if name in ROLE_NAMES.values():
        raise ConflictError(f"{name} is one of the roles that every project has")
    try:
        check_permissions(wanted.permissions)
    except PermissionsInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error


def _add(connection: Connection, actor: Actor, wanted: RoleText) -> int:
    if len(list_roles(connection)) >= _MAX_ROLES:
        raise BadRequestError(f"there are at most {_MAX_ROLES} custom roles")
    if has_role_named(connection, wanted.name):
        raise ConflictError(f"there is a role {wanted.name} already")
    role_id = add_role(connection, wanted, datetime.now(UTC))
    target = Target(reference=wanted.name)
    record_change(connection, actor, Change("create_role", target, after=_facts(wanted)))
    return role_id


def _change(connection: Connection, actor: Actor, role_id: int, wanted: RoleText) -> None:
    known = _find(connection, role_id)
    if wanted.name != known.text.name and has_role_named(connection, wanted.name):
        raise ConflictError(f"there is a role {wanted.name} already")
    change_role(connection, role_id, wanted, datetime.now(UTC))
    target = Target(reference=wanted.name)
    change = Change("update_role", target, _facts(known.text), _facts(wanted))
    record_change(connection, actor, change)


def _delete(connection: Connection, actor: Actor, role_id: int) -> None:
    known = _find(connection, role_id)
    if has_members(connection, role_id):
        raise PreconditionError(
            f"members of projects have the role {known.text.name}", hint="give them another role first"
        )
    delete_role(connection, role_id)
    target = Target(reference=known.text.name)
    record_change(connection, actor, Change("delete_role", target, before=_facts(known.text)))


def _find(connection: Connection, role_id: int) -> StoredRole:
    known = find_role(connection, role_id) if 0 < role_id <= _MAX_ID else None
    if known is None:
        raise NotFoundError(f"there is no custom role {role_id}")
    return known


def _facts(wanted: RoleText) -> dict[str, object]:
    """Return what an audit record says of a role."""
    return {
        "name": wanted.name,
        "description": wanted.description,
        "permissions": sorted(wanted.permissions),
    }
