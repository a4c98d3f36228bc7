from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection
from tests.unit.auth.house import ADDRESS, FACTS, TTL, House, basic, bearer

from homeport.auth.errors import (
    AuthenticationError,
    LoginSlowedDownError,
    PasswordWrongError,
    TokenInvalidError,
)
from homeport.auth.robots import hash_generated_secret
from homeport.auth.secret import Secret
from homeport.auth.token_service import TokenRequest
from homeport.db.repositories import ensure_project
from homeport.db.robots import (
    NewRobot,
    add_robot,
    add_secret,
    change_robot,
    delete_robot,
    delete_secret,
    end_secret,
    find_robot,
    replace_permissions,
)
from homeport.rules.permissions import AuthMethod, PrincipalKind, ProjectFacts, RepositoryAction, may_do
from homeport.rules.robots import RobotPermission, make_secret

pytestmark = pytest.mark.anyio

NAME = "robot$shop+ci"
OWN = "My-own-secret-7"
SCOPE = "repository:shop/image:pull,push"


@dataclass(frozen=True, slots=True)
class Made:
    """A robot of the project shop that may pull."""

    id: int
    secret_id: int
    secret: str
    project: ProjectFacts

    @property
    def header(self) -> bytes:
        """Its Basic credentials."""
        return basic(NAME, self.secret)


async def make_robot(house: House, *, own: str = "", expires_at: datetime | None = None) -> Made:
    secret = Secret(own or make_secret())
    secret_hash = await house.passwords.hash(secret) if own else hash_generated_secret(secret)

    def make(connection: Connection) -> Made:
        now = house.clock()
        project_id = ensure_project(connection, "shop", now)
        robot_id = add_robot(
            connection,
            NewRobot("ci", "", project_id, False, -1, expires_at, "user", 1),
            now,
        )
        assert robot_id is not None
        pull = RobotPermission(False, project_id, "repository:pull")
        replace_permissions(connection, robot_id, [pull])
        secret_id = add_secret(connection, robot_id, secret_hash, now)
        return Made(robot_id, secret_id, secret.reveal(), ProjectFacts(project_id, "shop", is_public=False))

    return await house.database.write(make)


async def token_of(house: House, robot: Made) -> bytes:
    given = await house.service.answer_header(robot.header, TokenRequest((SCOPE,)), FACTS)
    return bearer(given.access_token)


@pytest.mark.parametrize("own", ["", OWN])
async def test_robot_signs_in_as_itself(house: House, own: str) -> None:
    robot = await make_robot(house, own=own)
    for header in (robot.header, await token_of(house, robot)):
        authentication = await house.authenticator.authenticate(header, ADDRESS)
        principal = authentication.principal
        assert (principal.name, principal.kind, principal.user_id) == (NAME, PrincipalKind.ROBOT, robot.id)
        assert not principal.is_sysadmin
        assert may_do(principal, robot.project, RepositoryAction.PULL, "shop/image")
        assert not may_do(principal, robot.project, RepositoryAction.PUSH, "shop/image")
    event = house.events[0]
    assert (event.principal_name, event.auth_method) == (NAME, AuthMethod.BASIC)


async def test_token_of_a_robot_covers_what_it_may_and_brings_no_refresh_token(house: House) -> None:
    robot = await make_robot(house)
    request = TokenRequest((SCOPE,), wants_refresh_token=True)
    given = await house.service.answer_header(robot.header, request, FACTS)
    assert [str(scope) for scope in given.granted] == ["repository:shop/image:pull"]
    assert given.refresh_token is None


async def test_user_and_robot_of_one_id_are_two(house: House) -> None:
    user = await house.add_user("alice", is_sysadmin=True)
    robot = await make_robot(house)
    assert user.id == robot.id
    for header in (basic(), robot.header, await token_of(house, robot)):
        principal = (await house.authenticator.authenticate(header, ADDRESS)).principal
        assert principal.is_sysadmin == (header == basic())


@pytest.mark.parametrize("own", ["", OWN])
async def test_wrong_secret_is_refused_like_an_unknown_robot(house: House, own: str) -> None:
    await make_robot(house, own=own)
    checked = []
    for name in (NAME, "robot$shop+other", "robot$other+ci"):
        before = house.passwords.checks
        with pytest.raises(PasswordWrongError) as caught:
            await house.login.sign_in(name, Secret("Wrong-secret-1"), ADDRESS)
        checked.append((house.passwords.checks - before, str(caught.value)))
    assert len(set(checked)) == 1


async def test_generated_secret_costs_no_password_check(house: House) -> None:
    robot = await make_robot(house)
    await house.login.sign_in(NAME, Secret(robot.secret), ADDRESS)
    assert house.passwords.checks == 0


async def test_attackers_cannot_lock_a_generated_secret_out(house: House) -> None:
    robot = await make_robot(house)
    for _ in range(6):
        with pytest.raises(PasswordWrongError):
            await house.login.sign_in(NAME, Secret("Wrong-secret-1"), ADDRESS)
    with pytest.raises(LoginSlowedDownError):
        await house.login.sign_in(NAME, Secret("Wrong-secret-1"), ADDRESS)
    account = await house.login.sign_in(NAME, Secret(robot.secret), ADDRESS)
    assert account.username == NAME


async def test_own_secret_is_slowed_down_as_passwords_are(house: House) -> None:
    await make_robot(house, own=OWN)
    for _ in range(6):
        with pytest.raises(PasswordWrongError):
            await house.login.sign_in(NAME, Secret("Wrong-secret-1"), ADDRESS)
    with pytest.raises(LoginSlowedDownError):
        await house.login.sign_in(NAME, Secret(OWN), ADDRESS)


@pytest.mark.parametrize("way", ["delete", "disable", "revoke"])
async def test_robot_that_ended_is_refused_on_every_worker_at_once(
    house: House, other_house: House, way: str
) -> None:
    robot = await make_robot(house)
    headers = [robot.header, await token_of(house, robot)]
    for header in headers:
        await other_house.authenticator.authenticate(header, ADDRESS)
        await other_house.authenticator.authenticate(header, ADDRESS)
        assert await other_house.recall(header) is not None

    match way:
        case "delete":
            await house.database.write(delete_robot, robot.id)
        case "disable":
            await house.database.write(change_robot, robot.id, {"is_disabled": True}, house.clock())
        case _:
            await house.database.write(delete_secret, robot.id, robot.secret_id)

    for header in headers:
        assert await other_house.recall(header) is None
        with pytest.raises(AuthenticationError):
            await other_house.authenticator.authenticate(header, ADDRESS)


@pytest.mark.parametrize("what", ["robot", "secret"])
async def test_end_is_noticed_at_the_next_request_without_any_change(house: House, what: str) -> None:
    end = house.clock() + timedelta(minutes=10)
    robot = await make_robot(house, expires_at=end if what == "robot" else None)
    if what == "secret":
        await house.database.write(end_secret, robot.secret_id, end)
    headers = [robot.header, await token_of(house, robot)]
    for header in headers:
        await house.authenticator.authenticate(header, ADDRESS)
        await house.authenticator.authenticate(header, ADDRESS)
        assert await house.recall(header) is not None

    assert timedelta(minutes=10) < TTL
    house.clock.turn(timedelta(minutes=10))

    for header in headers:
        assert await house.recall(header) is None
        with pytest.raises(AuthenticationError):
            await house.authenticator.authenticate(header, ADDRESS)


async def test_token_of_a_deleted_robot_is_none_of_the_next(house: House) -> None:
    robot = await make_robot(house)
    header = await token_of(house, robot)
    await house.database.write(delete_robot, robot.id)
    again = await make_robot(house)
    assert again.id >= robot.id
    with pytest.raises(TokenInvalidError):
        await house.authenticator.authenticate(header, ADDRESS)


async def test_use_is_noted_at_most_once_a_minute(house: House) -> None:
    robot = await make_robot(house)
    began = house.clock()

    async def noted() -> tuple[datetime | None, str | None]:
        stored = await house.database.read(find_robot, robot.id)
        assert stored is not None
        return stored.last_used_at, stored.last_used_address

    await house.login.sign_in(NAME, Secret(robot.secret), "192.0.2.7")
    assert await noted() == (began, "192.0.2.7")
    house.clock.turn(timedelta(seconds=59))
    await house.login.sign_in(NAME, Secret(robot.secret), "192.0.2.8")
    assert await noted() == (began, "192.0.2.7")
    house.clock.turn(timedelta(seconds=1))
    await house.login.sign_in(NAME, Secret(robot.secret), "192.0.2.8")
    assert await noted() == (began + timedelta(minutes=1), "192.0.2.8")


def test_same_secret_has_another_hash_each_time() -> None:
    secret = Secret(make_secret())
    first, second = hash_generated_secret(secret), hash_generated_secret(secret)
    assert first != second
    assert secret.reveal() not in first + second
