"""Groups of users, as LDAP, OIDC or an authenticating proxy name them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from homeport.db.dialect import insert_or_keep
from homeport.db.filtering import fetch_page
from homeport.db.schema import user_group
from homeport.rules.listing import ListQuery
from homeport.rules.usergroups import GroupKind


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group; only those of LDAP have a distinguished name."""

    id: int
    name: str
    kind: int
    ldap_group_dn: str


_COLUMNS = (user_group.c.id, user_group.c.name, user_group.c.kind, user_group.c.ldap_group_dn)
_LISTED_BY = {"id": user_group.c.id, "group_name": user_group.c.name, "group_type": user_group.c.kind}


def list_groups(
    connection: Connection, query: ListQuery, *, name_part: str = "", ldap_group_dn: str = ""
) -> tuple[list[StoredGroup], int]:
    """Return the groups of the query's page and how many match; an empty text does not restrict."""
    statement = select(*_COLUMNS)
    if name_part:
        statement = statement.where(user_group.c.name.icontains(name_part, autoescape=True))
    if ldap_group_dn:
        statement = statement.where(func.lower(user_group.c.ldap_group_dn) == ldap_group_dn.lower())
    rows, total = fetch_page(connection, statement, query, _LISTED_BY, user_group.c.id.asc())
    return [StoredGroup(*row) for row in rows], total


def find_group(connection: Connection, group_id: int) -> StoredGroup | None:
    """Return the group with that id, or None."""
    row = connection.execute(select(*_COLUMNS).where(user_group.c.id == group_id)).first()
    return None if row is None else StoredGroup(*row)


def find_same_group(
    connection: Connection, kind: GroupKind, name: str, ldap_group_dn: str
) -> StoredGroup | None:
    """Return the group that these name: by its distinguished name in LDAP, else by its name; or None."""
    same: ColumnElement[bool] = user_group.c.name == name
    if kind is GroupKind.LDAP:
        same = func.lower(user_group.c.ldap_group_dn) == ldap_group_dn.lower()
    row = connection.execute(select(*_COLUMNS).where(user_group.c.kind == int(kind), same)).first()
    return None if row is None else StoredGroup(*row)


def insert_group(
    connection: Connection, kind: GroupKind, name: str, ldap_group_dn: str, now: datetime
) -> int | None:
    """Make the group and return its id; None, and nothing changed, when there is one already."""
    if find_same_group(connection, kind, name, ldap_group_dn) is not None:
        return None
    row = {"name": name, "kind": int(kind), "ldap_group_dn": ldap_group_dn, "created_at": now}
    insert_or_keep(connection, user_group, row)
    made = find_same_group(connection, kind, name, ldap_group_dn)
    return None if made is None else made.id


def rename_group(connection: Connection, group_id: int, name: str) -> None:
    """Give the group another name."""
    connection.execute(update(user_group).where(user_group.c.id == group_id).values(name=name))


def delete_group(connection: Connection, group_id: int) -> bool:
    """Delete the group with its memberships everywhere; tells whether it was there."""
    return connection.execute(delete(user_group).where(user_group.c.id == group_id)).rowcount > 0
