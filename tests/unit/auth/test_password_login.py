import asyncio
from datetime import timedelta

import argon2
import pytest
from tests.unit.auth.house import ADDRESS, PASSWORD, House

from homeport.auth.accounts import Account, account_of
from homeport.auth.bootstrap import change_password
from homeport.auth.clock import utc_now
from homeport.auth.errors import CredentialsMalformedError, LoginSlowedDownError, PasswordWrongError
from homeport.auth.secret import Secret
from homeport.db.login_failures import LoginSubjects, find_login_history
from homeport.db.users import add_user, delete_user, find_user

pytestmark = pytest.mark.anyio

ELSEWHERE = "198.51.100.9"


async def sign_in(
    house: House, username: str = "alice", password: str = PASSWORD, address: str = ADDRESS
) -> Account:
    return await house.login.sign_in(username, Secret(password), address)


async def guess(house: House, username: str = "alice", address: str = ADDRESS) -> LoginSlowedDownError | None:
    """Try a wrong password; returns why it was not looked at, or None when it was."""
    try:
        await sign_in(house, username, "a wrong guess", address)
    except PasswordWrongError:
        return None
    except LoginSlowedDownError as error:
        return error
    pytest.fail("a wrong password was accepted")


async def test_right_password_signs_in(house: House) -> None:
    user = await house.add_user()

    assert await sign_in(house) == account_of(user)
    assert await sign_in(house) == account_of(user)


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong"), ("alice", ""), ("alice", PASSWORD + " "), ("Alice", PASSWORD), ("nobody", PASSWORD)],
)
async def test_wrong_password_or_name_is_refused_alike(
    sqlite_house: House, username: str, password: str
) -> None:
    await sqlite_house.add_user()

    with pytest.raises(PasswordWrongError) as caught:
        await sign_in(sqlite_house, username, password)
    assert str(caught.value) == "the user name or the password is wrong"


@pytest.mark.parametrize(
    ("username", "password"),
    [("", PASSWORD), ("a\0b", PASSWORD), ("x" * 300, PASSWORD), ("alice", "x" * 1025)],
)
async def test_impossible_name_or_password_is_refused_unlooked_at(
    sqlite_house: House, username: str, password: str
) -> None:
    with pytest.raises(CredentialsMalformedError):
        await sign_in(sqlite_house, username, password)
    subjects = LoginSubjects(username, ADDRESS)
    assert (await sqlite_house.database.read(find_login_history, subjects, None)).address.count == 0


async def test_right_password_is_checked_once_until_the_account_changes(house: House) -> None:
    await house.add_user()
    await sign_in(house)
    before = house.passwords.checks

    for _ in range(5):
        await sign_in(house)
    assert house.passwords.checks == before
    await change_password(house.database, house.passwords, "alice", Secret("another password"))
    with pytest.raises(PasswordWrongError):
        await sign_in(house)
    assert house.passwords.checks == before + 1


async def test_many_clients_with_one_password_cost_few_checks(house: House) -> None:
    await house.add_user()
    before = house.passwords.checks

    accounts = await asyncio.gather(*(sign_in(house, address=f"192.0.2.{n}") for n in range(100)))

    assert len(set(accounts)) == 1
    assert house.passwords.checks <= before + 2


async def test_password_is_refused_on_every_worker_once_changed_or_deleted(
    house: House, other_house: House
) -> None:
    user = await house.add_user()
    await sign_in(other_house)

    await change_password(house.database, house.passwords, "alice", Secret("another password"))
    with pytest.raises(PasswordWrongError):
        await sign_in(other_house)
    await sign_in(other_house, password="another password")
    await house.database.write(delete_user, user.id)
    with pytest.raises(PasswordWrongError):
        await sign_in(other_house, password="another password")


async def test_unknown_name_is_checked_like_a_wrong_password(house: House) -> None:
    await house.add_user()
    before = house.passwords.checks

    await guess(house, "alice")
    await guess(house, "nobody")

    assert house.passwords.checks == before + 2


async def test_password_hash_of_old_parameters_is_renewed(house: House) -> None:
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await house.database.write(add_user, "alice", weaker, utc_now(), is_sysadmin=False)
    stored = await house.database.read(find_user, "alice")
    assert stored is not None
    refresh_token = await house.refresh_tokens.issue(account_of(stored), "docker")

    account = await sign_in(house)

    renewed = await house.database.read(find_user, "alice")
    assert renewed is not None
    assert not house.passwords.is_outdated(renewed.password_hash)
    assert account == account_of(renewed)
    assert await house.refresh_tokens.redeem(refresh_token) == account
    assert await sign_in(house) == account


async def test_wrong_passwords_are_slowed_down_on_all_workers_together(
    house: House, other_house: House
) -> None:
    await house.add_user()
    for number in range(6):
        assert await guess((house, other_house)[number % 2]) is None

    for worker in (house, other_house):
        slowed_down = await guess(worker)
        assert slowed_down is not None
        assert (slowed_down.retry_after_s, slowed_down.account) == (1, "alice")

    house.clock.turn(timedelta(seconds=1))
    assert await guess(other_house) is None
    slowed_down = await guess(house)
    assert slowed_down is not None
    assert slowed_down.retry_after_s == 2


async def test_right_password_is_not_looked_at_during_a_wait(house: House) -> None:
    await house.add_user()
    for _ in range(6):
        await guess(house)

    with pytest.raises(LoginSlowedDownError):
        await sign_in(house)
    house.clock.turn(timedelta(seconds=1))
    await sign_in(house)


async def test_success_ends_the_waits_of_its_pair(house: House) -> None:
    await house.add_user()
    for _ in range(6):
        await guess(house)
    house.clock.turn(timedelta(seconds=1))
    await sign_in(house)

    for _ in range(5):
        assert await guess(house) is None


async def test_verified_password_works_on_during_an_attack(house: House) -> None:
    await house.add_user()
    await sign_in(house)
    for _ in range(7):
        await guess(house)

    await sign_in(house)


async def test_guesses_from_elsewhere_do_not_reach_a_known_address(house: House, other_house: House) -> None:
    await house.add_user()
    await sign_in(house)
    for number in range(11):
        assert await guess(house, address=f"198.51.100.{number % 3}") is None

    assert await guess(house, address=ELSEWHERE) is not None
    await sign_in(other_house)


async def test_guesses_keep_the_owner_from_a_new_address_for_half_a_minute_at_most(house: House) -> None:
    await house.add_user()
    for number in range(16):
        house.clock.turn(timedelta(seconds=30))
        assert await guess(house, address=f"198.51.100.{number}") is None

    with pytest.raises(LoginSlowedDownError) as caught:
        await sign_in(house)
    assert caught.value.retry_after_s <= 30
    house.clock.turn(timedelta(seconds=30))
    await sign_in(house)


async def test_address_that_tries_many_accounts_is_slowed_down(house: House) -> None:
    for number in range(21):
        assert await guess(house, f"user-{number}") is None

    assert await guess(house, "user-99") is not None
    assert await guess(house, "user-99", ELSEWHERE) is None


async def test_addresses_of_one_ipv6_network_count_as_one(house: House) -> None:
    await house.add_user()
    for number in range(6):
        assert await guess(house, address=f"2001:db8::{number}") is None

    assert await guess(house, address="2001:db8::ffff") is not None


async def test_burst_of_guesses_gets_little_more_than_its_share(house: House, other_house: House) -> None:
    await house.add_user()
    outcomes = await asyncio.gather(*(guess(worker) for worker in (house, other_house) for _ in range(40)))

    looked_at = sum(outcome is None for outcome in outcomes)
    assert 6 <= looked_at <= 6 + 4


async def test_too_many_waiting_sign_ins_are_sent_away(house: House) -> None:
    async def hold(until: asyncio.Event) -> None:
        async with house.passwords.turn():
            await until.wait()

    release = asyncio.Event()
    holders = [asyncio.create_task(hold(release)) for _ in range(130)]
    await asyncio.sleep(0.05)

    with pytest.raises(LoginSlowedDownError, match="wait to be checked"):
        await sign_in(house)
    release.set()
    await asyncio.gather(*holders)
