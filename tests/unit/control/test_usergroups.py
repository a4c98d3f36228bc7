import pytest
from tests.unit.control.house import ACTOR

from homeport.control.errors import ConflictError, NotFoundError
from homeport.control.usergroups import UserGroups
from homeport.db.engine import Database
from homeport.db.usergroups import StoredGroup
from homeport.rules.listing import ListQuery

pytestmark = pytest.mark.anyio

DN = "cn=Team,dc=example"


async def test_groups_of_ldap_are_the_same_by_their_distinguished_name(database: Database) -> None:
    groups = UserGroups(database)
    group_id = await groups.create(ACTOR, 1, "team", DN)

    with pytest.raises(ConflictError):
        await groups.create(ACTOR, 1, "another name", DN.lower())
    assert await groups.find(group_id) == StoredGroup(group_id, "team", 1, DN)
    assert await groups.create(ACTOR, 1, "team", "cn=other,dc=example") != group_id


async def test_groups_of_others_are_the_same_by_their_name(database: Database) -> None:
    groups = UserGroups(database)
    await groups.create(ACTOR, 3, "team", "")

    with pytest.raises(ConflictError):
        await groups.create(ACTOR, 3, "team", "")
    await groups.create(ACTOR, 2, "team", "")
    found, total = await groups.list_page(ListQuery(), name_part="TEAM")
    assert ([group.kind for group in found], total) == ([3, 2], 2)


async def test_group_that_is_gone_is_unknown(database: Database) -> None:
    groups = UserGroups(database)
    group_id = await groups.create(ACTOR, 3, "team", "")
    await groups.delete(ACTOR, group_id)

    for attempt in (
        groups.find(group_id),
        groups.delete(ACTOR, group_id),
        groups.rename(ACTOR, group_id, "x"),
    ):
        with pytest.raises(NotFoundError):
            await attempt
