import pytest
from tests.unit.control.house import ACTOR, ControlHouse

from homeport.control.errors import BadRequestError, ConflictError, ForbiddenError, NotFoundError
from homeport.control.members import MemberEditor, Members, WantedGroup, WantedRole, WantedUser
from homeport.control.projects import ProjectChange, Projects
from homeport.control.roles import Roles
from homeport.db.roles import RoleText
from homeport.rules.listing import Condition, ListQuery, Match
from homeport.rules.permissions import Principal, ProjectFacts, may_in_project

pytestmark = pytest.mark.anyio

ADMIN, DEVELOPER, GUEST = 1, 2, 3


async def make_project(house: ControlHouse, principal: Principal, name: str = "team") -> ProjectFacts:
    """Make a project that the principal administers."""
    projects = Projects(house.database)
    project = await projects.find(await projects.create(ACTOR, principal, name, ProjectChange()))
    assert project is not None
    return project.facts


async def as_it_is(house: ControlHouse, principal: Principal) -> Principal:
    """Return the principal with the rights that it has now."""
    assert principal.user_id is not None
    account = await house.accounts.find(principal.user_id)
    assert account is not None
    return account.as_principal(principal.auth_method)


async def test_maker_administers_and_makes_others_members(
    house: ControlHouse, other_house: ControlHouse
) -> None:
    alice, bob = await house.add("alice"), await house.add("bob")
    project = await make_project(house, alice)
    members = Members(house.database)
    editor = MemberEditor(ACTOR, await as_it_is(house, alice), project)

    member_id = await members.add(editor, WantedUser(username="bob"), WantedRole(DEVELOPER))

    for worker in (house, other_house):
        assert may_in_project(await as_it_is(worker, bob), project, "repository:push", "team/app")
    await members.update(editor, member_id, WantedRole(GUEST, "base/*"))
    for worker in (house, other_house):
        now = await as_it_is(worker, bob)
        assert may_in_project(now, project, "repository:pull", "team/base/app")
        assert not may_in_project(now, project, "repository:pull", "team/app")
    shown = await members.find(project, member_id)
    assert (shown.entity_name, shown.role_name, shown.repository_pattern) == ("bob", "guest", "base/*")
    await members.remove(editor, member_id)
    for worker in (house, other_house):
        assert not may_in_project(await as_it_is(worker, bob), project, ".:read")
    with pytest.raises(NotFoundError):
        await members.find(project, member_id)


async def test_group_is_made_once(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    project = await make_project(house, root)
    members, editor = Members(house.database), MemberEditor(ACTOR, root, project)
    group = WantedGroup(name="developers", kind=3)

    member_id = await members.add(editor, group, WantedRole(GUEST))

    with pytest.raises(ConflictError):
        await members.add(editor, group, WantedRole(DEVELOPER))
    again = await members.add(editor, group, WantedRole(DEVELOPER, "base/*"))
    first, second = await members.find(project, member_id), await members.find(project, again)
    assert first.group_id == second.group_id is not None
    dn = WantedGroup(kind=1, ldap_group_dn="cn=Ops,dc=example,dc=org")
    ops = await members.find(project, await members.add(editor, dn, WantedRole(GUEST)))
    assert ops.entity_name == "Ops"
    query = ListQuery((Condition("role_id", Match.EXACT, (str(GUEST),)),))
    rows, total = await members.list(project, query, "")
    assert ({row.entity_name for row in rows}, total) == ({"developers", "Ops"}, 2)
    assert (await members.list(project, ListQuery(), "DEV"))[1] == 2


async def test_change_to_the_pattern_of_another_membership_is_a_conflict(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    bob = await house.add("bob")
    project = await make_project(house, root)
    members, editor = Members(house.database), MemberEditor(ACTOR, root, project)
    assert bob.user_id is not None
    await members.add(editor, WantedUser(bob.user_id), WantedRole(GUEST, "a/*"))
    second = await members.add(editor, WantedUser(bob.user_id), WantedRole(GUEST, "b/*"))

    with pytest.raises(ConflictError):
        await members.update(editor, second, WantedRole(GUEST, "a/*"))

    assert (await members.find(project, second)).repository_pattern == "b/*"


async def test_nobody_gives_or_takes_more_than_it_has(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    alice, bob = await house.add("alice"), await house.add("bob")
    project = await make_project(house, alice)
    permissions = frozenset({"member:create", "member:update", "member:delete", ".:read"})
    role_id = await Roles(house.database).add(ACTOR, RoleText("gatekeeper", "", permissions))
    members = Members(house.database)
    by_root = MemberEditor(ACTOR, root, project)
    own = await members.add(by_root, WantedUser(username="bob"), WantedRole(role_id))
    editor = MemberEditor(ACTOR, await as_it_is(house, bob), project)
    administrator = (await members.list(project, ListQuery(), "alice"))[0][0].id

    for role in (ADMIN, DEVELOPER, GUEST):
        with pytest.raises(ForbiddenError):
            await members.update(editor, own, WantedRole(role))
    with pytest.raises(ForbiddenError):
        await members.remove(editor, administrator)
    with pytest.raises(ForbiddenError):
        await members.update(editor, administrator, WantedRole(role_id))
    await members.remove(editor, own)


async def test_last_administrator_is_taken_by_system_administrators_alone(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    alice = await house.add("alice")
    project = await make_project(house, alice)
    members = Members(house.database)
    editor = MemberEditor(ACTOR, await as_it_is(house, alice), project)
    own = (await members.list(project, ListQuery(), ""))[0][0].id

    with pytest.raises(BadRequestError):
        await members.remove(editor, own)
    with pytest.raises(BadRequestError):
        await members.update(editor, own, WantedRole(GUEST))
    await members.update(editor, own, WantedRole(ADMIN))
    await members.remove(MemberEditor(ACTOR, root, project), own)
    assert (await members.list(project, ListQuery(), ""))[1] == 0
