from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, func, insert, select

from homeport.db.engine import Database
from homeport.db.schema import user_group_member
from homeport.db.usergroups import (
    delete_group,
    find_group,
    find_same_group,
    insert_group,
    list_groups,
    rename_group,
)
from homeport.db.users import add_user, find_user
from homeport.rules.listing import ListQuery
from homeport.rules.usergroups import GroupKind

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def join(connection: Connection, user_id: int, group_id: int) -> None:
    connection.execute(insert(user_group_member), {"user_id": user_id, "group_id": group_id})


def count_memberships(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(user_group_member)).scalar_one()


async def test_group_is_found_by_what_names_it(database: Database) -> None:
    dn = "CN=Team,dc=example"
    ldap = await database.write(insert_group, GroupKind.LDAP, "team", dn, NOW)
    oidc = await database.write(insert_group, GroupKind.OIDC, "team", "", NOW)

    same = await database.read(find_same_group, GroupKind.LDAP, "other", dn.lower())
    assert same is not None
    assert same.id == ldap
    same = await database.read(find_same_group, GroupKind.OIDC, "team", "")
    assert same is not None
    assert same.id == oidc
    assert await database.read(find_same_group, GroupKind.HTTP, "team", "") is None
    assert await database.write(insert_group, GroupKind.OIDC, "team", "", NOW) is None


async def test_groups_are_filtered_by_wildcards_as_they_are(database: Database) -> None:
    await database.write(insert_group, GroupKind.OIDC, "a_b%c", "", NOW)
    await database.write(insert_group, GroupKind.OIDC, "axbyc", "", NOW)

    found, total = await database.read(list_groups, ListQuery(), name_part="_B%")

    assert ([group.name for group in found], total) == (["a_b%c"], 1)


async def test_deleted_group_takes_its_memberships_along(database: Database) -> None:
    group_id = await database.write(insert_group, GroupKind.OIDC, "team", "", NOW)
    assert group_id is not None
    await database.write(add_user, "alice", "hash", NOW, is_sysadmin=False)
    user = await database.read(find_user, "alice")
    assert user is not None
    await database.write(join, user.id, group_id)
    await database.write(rename_group, group_id, "crew")

    assert await database.write(delete_group, group_id)

    assert await database.read(count_memberships) == 0
    assert await database.read(find_group, group_id) is None
    assert not await database.write(delete_group, group_id)
