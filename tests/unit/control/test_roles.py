import asyncio

import pytest
from tests.unit.control.house import ACTOR, ControlHouse
from tests.unit.control.test_members import make_project

from homeport.control.errors import BadRequestError, ConflictError, NotFoundError, PreconditionError
from homeport.control.members import MemberEditor, Members, WantedRole, WantedUser
from homeport.control.roles import Roles
from homeport.db.rights import FIRST_CUSTOM_ROLE
from homeport.db.roles import RoleText

pytestmark = pytest.mark.anyio

PULL = frozenset({"repository:pull"})


async def test_ids_of_custom_roles_begin_behind_those_of_harbor(house: ControlHouse) -> None:
    roles = Roles(house.database)

    first = await roles.add(ACTOR, RoleText("first", "", PULL))
    second = await roles.add(ACTOR, RoleText("second", "", PULL))

    assert (first, second) == (FIRST_CUSTOM_ROLE, FIRST_CUSTOM_ROLE + 1)
    assert [role.text.name for role in await roles.list()] == ["first", "second"]
    await roles.change(ACTOR, second, RoleText("third", "d", PULL | {".:read"}))
    found = await roles.find(second)
    assert found is not None
    assert found.text == RoleText("third", "d", PULL | {".:read"})
    with pytest.raises(ConflictError):
        await roles.change(ACTOR, second, RoleText("first", "", PULL))


async def test_roles_made_at_once_have_ids_of_their_own(
    house: ControlHouse, other_house: ControlHouse
) -> None:
    workers = [Roles(house.database), Roles(other_house.database)]

    made = await asyncio.gather(
        *(workers[number % 2].add(ACTOR, RoleText(f"role-{number}", "", PULL)) for number in range(10))
    )

    assert sorted(made) == list(range(FIRST_CUSTOM_ROLE, FIRST_CUSTOM_ROLE + 10))


async def test_role_that_somebody_has_is_not_deleted(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    await house.add("bob")
    project = await make_project(house, root)
    roles, members = Roles(house.database), Members(house.database)
    role_id = await roles.add(ACTOR, RoleText("reader", "", PULL))
    editor = MemberEditor(ACTOR, root, project)
    member_id = await members.add(editor, WantedUser(username="bob"), WantedRole(role_id))

    with pytest.raises(PreconditionError):
        await roles.delete(ACTOR, role_id)

    await members.remove(editor, member_id)
    await roles.delete(ACTOR, role_id)
    assert await roles.find(role_id) is None
    with pytest.raises(NotFoundError):
        await roles.delete(ACTOR, role_id)
    with pytest.raises(BadRequestError):
        await members.add(editor, WantedUser(username="bob"), WantedRole(role_id))
