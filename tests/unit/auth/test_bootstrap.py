import asyncio

import pytest
from tests.unit.auth.house import ADDRESS, House

from homeport.auth.bootstrap import PasswordUnacceptableError, change_password, ensure_admin
from homeport.auth.errors import PasswordWrongError
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.users import find_user

pytestmark = pytest.mark.anyio


async def test_first_admin_gets_a_made_up_password_that_is_told_once(house: House) -> None:
    made_up = await ensure_admin(house.database, None)

    assert made_up is not None
    account = await house.login.sign_in("admin", Secret(made_up), ADDRESS)
    assert account.is_sysadmin
    assert await ensure_admin(house.database, None) is None
    assert await house.login.sign_in("admin", Secret(made_up), ADDRESS) == account


async def test_first_admin_gets_the_given_password(house: House) -> None:
    given = Secret("given password")

    assert await ensure_admin(house.database, given) is None
    assert (await house.login.sign_in("admin", given, ADDRESS)).username == "admin"


async def test_given_password_does_not_change_an_admin_that_exists(house: House) -> None:
    await ensure_admin(house.database, Secret("first password"))

    assert await ensure_admin(house.database, Secret("second password")) is None
    await house.login.sign_in("admin", Secret("first password"), ADDRESS)
    with pytest.raises(PasswordWrongError):
        await house.login.sign_in("admin", Secret("second password"), ADDRESS)


async def test_first_admin_made_by_several_processes_has_one_password(
    database: Database, other_database: Database
) -> None:
    made_up = await asyncio.gather(*(ensure_admin(each, None) for each in [database, other_database] * 3))

    (told,) = [password for password in made_up if password is not None]
    await House(database).login.sign_in("admin", Secret(told), ADDRESS)


@pytest.mark.parametrize("password", ["kurz", "x" * 1025, "ü" * 600])
async def test_password_of_bad_length_is_refused(house: House, password: str) -> None:
    with pytest.raises(PasswordUnacceptableError) as caught:
        await ensure_admin(house.database, Secret(password))
    assert password not in f"{caught.value} {caught.value.hint}"
    assert await house.database.read(find_user, "admin") is None


async def test_changed_password_replaces_the_old_one(house: House) -> None:
    await house.add_user("alice", "old password")

    assert await change_password(house.database, house.passwords, "alice", Secret("new password"))

    await house.login.sign_in("alice", Secret("new password"), ADDRESS)
    with pytest.raises(PasswordWrongError):
        await house.login.sign_in("alice", Secret("old password"), ADDRESS)


async def test_change_of_nobodys_password_is_false(house: House) -> None:
    assert not await change_password(house.database, house.passwords, "nobody", Secret("new password"))
