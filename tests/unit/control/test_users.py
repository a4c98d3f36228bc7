import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, update
from tests.unit.control.house import ACTOR, PASSWORD, ROOT, ControlHouse, robot

from homeport.auth.secret import Secret
from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PreconditionError,
)
from homeport.control.users import NewUser, ProfileChange
from homeport.db.schema import user_account
from homeport.db.users import UserProfile, add_user, find_user, lock_sysadmins

pytestmark = pytest.mark.anyio

OLD_AND_NEW = Secret(PASSWORD), Secret("Another-Passw0rd")
EVERYTHING = ("user:create", "user:read", "user:update", "user:list", "user:delete")


def make_external(connection: Connection, user_id: int, source: str) -> None:
    statement = update(user_account).where(user_account.c.id == user_id)
    connection.execute(statement.values(source=source, external_id="subject-1"))


async def test_robot_is_not_the_user_with_its_id(house: ControlHouse) -> None:
    alice = await house.add("alice")
    assert alice.user_id is not None
    twin = robot(alice.user_id)

    with pytest.raises(ForbiddenError):
        await house.users.find(twin, alice.user_id)
    with pytest.raises(ForbiddenError):
        await house.users.change_profile(twin, ACTOR, alice.user_id, ProfileChange(realname="x"))
    with pytest.raises(ForbiddenError):
        await house.users.change_password(twin, ACTOR, alice.user_id, OLD_AND_NEW)
    with pytest.raises(PreconditionError):
        await house.users.find_current(twin)


async def test_robot_for_users_gets_at_no_administrator(house: ControlHouse) -> None:
    boss = await house.add("boss", is_sysadmin=True)
    await house.add("second", is_sysadmin=True)
    alice = await house.add("alice")
    assert boss.user_id is not None
    assert alice.user_id is not None
    clerk = robot(7, *EVERYTHING)
    new = Secret("Another-Passw0rd")

    with pytest.raises(ForbiddenError):
        await house.users.set_sysadmin(clerk, ACTOR, alice.user_id, is_sysadmin=True)
    with pytest.raises(ForbiddenError):
        await house.users.change_password(clerk, ACTOR, boss.user_id, (Secret(""), new))
    with pytest.raises(ForbiddenError):
        await house.users.change_profile(clerk, ACTOR, boss.user_id, ProfileChange(realname="x"))
    with pytest.raises(ForbiddenError):
        await house.users.delete(clerk, ACTOR, boss.user_id)
    await house.users.change_password(clerk, ACTOR, alice.user_id, (Secret(""), new))
    await house.users.delete(clerk, ACTOR, alice.user_id)


async def test_there_is_always_an_administrator(house: ControlHouse, other_house: ControlHouse) -> None:
    one = await house.add("one", is_sysadmin=True)
    two = await house.add("two", is_sysadmin=True)
    assert one.user_id is not None
    assert two.user_id is not None

    results = await asyncio.gather(
        house.users.set_sysadmin(one, ACTOR, two.user_id, is_sysadmin=False),
        other_house.users.delete(two, ACTOR, one.user_id),
        return_exceptions=True,
    )

    assert [type(result) for result in results if result is not None] == [ForbiddenError]
    assert len(await house.database.write(lock_sysadmins)) == 1


async def test_last_administrator_is_neither_unmade_nor_deleted(house: ControlHouse) -> None:
    last = await house.add("last", is_sysadmin=True)
    assert last.user_id is not None

    with pytest.raises(ForbiddenError, match="last"):
        await house.users.set_sysadmin(ROOT, ACTOR, last.user_id, is_sysadmin=False)
    with pytest.raises(ForbiddenError, match="last"):
        await house.users.delete(ROOT, ACTOR, last.user_id)


async def test_first_administrator_cannot_be_deleted(house: ControlHouse) -> None:
    await house.database.write(add_user, "admin", "hash", datetime.now(UTC), is_sysadmin=True)
    await house.add("second", is_sysadmin=True)
    admin = await house.database.read(find_user, "admin")
    assert admin is not None

    with pytest.raises(ForbiddenError, match="first"):
        await house.users.delete(ROOT, ACTOR, admin.id)


async def test_account_kept_elsewhere_is_not_changed_here(house: ControlHouse) -> None:
    alice = await house.add("alice")
    assert alice.user_id is not None
    await house.database.write(make_external, alice.user_id, "ldap")

    with pytest.raises(ForbiddenError, match="ldap"):
        await house.users.change_profile(alice, ACTOR, alice.user_id, ProfileChange(realname="x"))
    with pytest.raises(ForbiddenError, match="ldap"):
        await house.users.change_password(alice, ACTOR, alice.user_id, OLD_AND_NEW)
    with pytest.raises(PreconditionError):
        await house.users.set_cli_secret(alice, ACTOR, alice.user_id, Secret("Another-Passw0rd"))


async def test_cli_secret_is_sealed_and_shown_to_its_user_alone(house: ControlHouse) -> None:
    alice, bob = await house.add("alice"), await house.add("bob")
    assert alice.user_id is not None
    await house.database.write(make_external, alice.user_id, "oidc")
    secret = Secret("Secret-of-alice-1")

    await house.users.set_cli_secret(alice, ACTOR, alice.user_id, secret)

    found, shown = await house.users.find_current(alice)
    assert shown == secret
    assert found.sealed_cli_secret is not None
    assert secret.reveal().encode() not in found.sealed_cli_secret
    assert secret.reveal() not in repr(found)
    with pytest.raises(BadRequestError):
        await house.users.set_cli_secret(alice, ACTOR, alice.user_id, Secret("weak"))
    with pytest.raises(ForbiddenError):
        await house.users.set_cli_secret(bob, ACTOR, alice.user_id, secret)
    with pytest.raises(NotFoundError):
        await house.users.set_cli_secret(ROOT, ACTOR, 424_242, secret)


async def test_user_made_twice_at_once_is_made_once(house: ControlHouse, other_house: ControlHouse) -> None:
    def new(number: int) -> NewUser:
        return NewUser("alice", Secret(PASSWORD), UserProfile(f"a{number}@example.org", "Alice", ""))

    results = await asyncio.gather(
        *(
            each.users.create(ROOT, ACTOR, new(number))
            for number, each in enumerate([house, other_house] * 2)
        ),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 3 + ["int"]
    assert any(isinstance(result, ConflictError) for result in results)


async def test_accounts_are_made_here_in_database_mode_alone(house: ControlHouse) -> None:
    change = {"auth_mode": "ldap_auth", "self_registration": True}
    await house.configuration.change(ACTOR, change)

    with pytest.raises(ForbiddenError, match="ldap_auth"):
        await house.add("alice")


async def test_email_of_another_user_is_refused_and_ones_own_is_not(house: ControlHouse) -> None:
    alice = await house.add("alice")
    await house.add("bob")
    assert alice.user_id is not None

    with pytest.raises(BadRequestError):
        await house.users.change_profile(alice, ACTOR, alice.user_id, ProfileChange(email="BOB@example.org"))
    await house.users.change_profile(alice, ACTOR, alice.user_id, ProfileChange(email="Alice@example.org"))
