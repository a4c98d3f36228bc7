"""Groups of users; who is in them, LDAP, an OpenID provider or a proxy says at each sign-in."""

from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.errors import BadRequestError, ConflictError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.usergroups import (
    StoredGroup,
    delete_group,
    find_group,
    find_same_group,
    insert_group,
    list_groups,
    rename_group,
)
from homeport.rules.listing import ListQuery
from homeport.rules.usergroups import GroupInvalidError, GroupKind, check_group, check_group_name


class UserGroups:
    """Finds, makes, renames and deletes groups."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(
        self, query: ListQuery, *, name_part: str = "", ldap_group_dn: str = ""
    ) -> tuple[list[StoredGroup], int]:
        """Return the groups of the query's page and how many match. Raises QueryInvalidError."""
        return await self._database.read(list_groups, query, name_part=name_part, ldap_group_dn=ldap_group_dn)

    async def find(self, group_id: int) -> StoredGroup:
        """Return the group. Raises NotFoundError."""
        return await self._database.read(_find, group_id)

    async def create(self, actor: Actor, kind: int, name: str, ldap_group_dn: str) -> int:
        """Make a group and return its id. Raises BadRequestError and ConflictError."""
        try:
            checked = check_group(kind, name, ldap_group_dn)
        except GroupInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from None
        return await self._database.write(_create, actor, checked, name, ldap_group_dn)

    async def rename(self, actor: Actor, group_id: int, name: str) -> None:
        """Give the group another name. Raises BadRequestError, NotFoundError and ConflictError."""
        try:
            check_group_name(name)
        except GroupInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from None
        await self._database.write(_rename, actor, group_id, name)

    async def delete(self, actor: Actor, group_id: int) -> None:
        """Delete the group and all that it gave to its members. Raises NotFoundError."""
        await self._database.write(_delete, actor, group_id)


def _find(connection: Connection, group_id: int) -> StoredGroup:
    found = find_group(connection, group_id)
    if found is None:
        raise NotFoundError(f"there is no user group {group_id}")
    return found


def _create(connection: Connection, actor: Actor, kind: GroupKind, name: str, ldap_group_dn: str) -> int:
    group_id = insert_group(connection, kind, name, ldap_group_dn, datetime.now(UTC))
    if group_id is None:
        raise ConflictError("there is this user group already")
    after = asdict(StoredGroup(group_id, name, int(kind), ldap_group_dn))
    add_records(connection, [actor.record("create_user_group", Target(reference=name), after=after)])
    return group_id


def _rename(connection: Connection, actor: Actor, group_id: int, name: str) -> None:
    found = _find(connection, group_id)
    if name == found.name:
        return
    kind = GroupKind(found.kind)
    if kind is not GroupKind.LDAP and find_same_group(connection, kind, name, "") is not None:
        raise ConflictError("there is a user group of that name already")
    rename_group(connection, group_id, name)
    before, after = {"group_name": found.name}, {"group_name": name}
    record = actor.record("update_user_group", Target(reference=name), before=before, after=after)
    add_records(connection, [record])


def _delete(connection: Connection, actor: Actor, group_id: int) -> None:
    found = _find(connection, group_id)
    delete_group(connection, group_id)
    target = Target(reference=found.name)
    add_records(connection, [actor.record("delete_user_group", target, before=asdict(found))])
