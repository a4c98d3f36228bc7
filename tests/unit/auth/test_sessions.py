import asyncio
from datetime import timedelta

import pytest
from tests.unit.auth.house import ADDRESS, INSTANCE_SECRET, House

from homeport.auth.accounts import account_of
from homeport.auth.cleaning import delete_outlived
from homeport.auth.configuration import ConfigurationReader, prepare_setting
from homeport.auth.sealing import Sealer
from homeport.auth.sessions import Sessions
from homeport.db.sessions import find_session
from homeport.db.settings import store_settings
from homeport.db.users import change_password_hash, delete_user
from homeport.rules.permissions import AuthMethod

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SEALER = Sealer(INSTANCE_SECRET)


def sessions_of(house: House) -> Sessions:
    reader = ConfigurationReader(house.database, SEALER)
    return Sessions(house.database, house.accounts, reader, house.clock)


async def open_session(house: House) -> tuple[Sessions, str]:
    sessions = sessions_of(house)
    user = await house.add_user()
    cookie, _ = await sessions.open(account_of(user), AuthMethod.PASSWORD, ADDRESS)
    return sessions, cookie


async def test_session_is_its_users_with_a_token_for_changes(house: House, other_house: House) -> None:
    sessions = sessions_of(house)
    user = await house.add_user()

    cookie, csrf_token = await sessions.open(account_of(user), AuthMethod.PASSWORD, ADDRESS)

    for each in (sessions, sessions_of(other_house)):
        found = await each.find(cookie)
        assert found is not None
        assert (found.principal.name, found.principal.auth_method) == ("alice", AuthMethod.SESSION)
        assert found.csrf_token == csrf_token
    assert csrf_token != cookie


async def test_cookie_is_not_in_the_database(house: House) -> None:
    _, cookie = await open_session(house)

    assert await house.database.read(find_session, cookie) is None


async def test_session_ends_when_it_is_not_used(house: House) -> None:
    sessions, cookie = await open_session(house)

    house.clock.turn(HOUR - MINUTE)
    assert await sessions.find(cookie) is not None
    house.clock.turn(HOUR - MINUTE)
    assert await sessions.find(cookie) is not None
    house.clock.turn(HOUR)
    assert await sessions.find(cookie) is None


async def test_session_lives_as_long_as_configured(house: House) -> None:
    setting = {"session_timeout": prepare_setting("session_timeout", 5, SEALER)}
    await house.database.write(store_settings, setting, house.clock())
    sessions, cookie = await open_session(house)

    house.clock.turn(5 * MINUTE)

    assert await sessions.find(cookie) is None


async def test_closed_session_stays_closed_while_it_is_used(house: House) -> None:
    sessions, cookie = await open_session(house)
    house.clock.turn(30 * MINUTE)

    await asyncio.gather(*(sessions.find(cookie) for _ in range(5)), sessions.close(cookie))

    assert await sessions.find(cookie) is None
    assert not await sessions.close(cookie)


async def test_session_ends_with_password_and_user(house: House) -> None:
    sessions, cookie = await open_session(house)
    found = await sessions.find(cookie)
    assert found is not None
    user_id = found.principal.user_id
    assert user_id is not None

    await house.database.write(change_password_hash, user_id, "another", house.clock())
    assert await sessions.find(cookie) is None

    account = await house.accounts.find(user_id)
    assert account is not None
    cookie, _ = await sessions.open(account, AuthMethod.PASSWORD, ADDRESS)
    await house.database.write(delete_user, user_id)
    assert await sessions.find(cookie) is None


@pytest.mark.parametrize("cookie", ["", "x", "a" * 10_000, "\udcff", "é\0"])
async def test_cookie_of_no_session_is_nobodys(sqlite_house: House, cookie: str) -> None:
    sessions = sessions_of(sqlite_house)

    assert await sessions.find(cookie) is None
    assert not await sessions.close(cookie)


async def test_ended_sessions_are_cleared_away(house: House) -> None:
    _, _ = await open_session(house)

    assert (await delete_outlived(house.database, house.clock() + HOUR - MINUTE)).sessions == 0
    assert (await delete_outlived(house.database, house.clock() + HOUR + MINUTE)).sessions == 1
