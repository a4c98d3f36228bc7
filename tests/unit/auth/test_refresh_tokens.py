from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select
from tests.unit.auth.house import SERVICE, House

from homeport.auth.accounts import Account, account_of
from homeport.auth.bootstrap import change_password
from homeport.auth.errors import RefreshTokenInvalidError
from homeport.auth.refresh_tokens import LIFETIME, MAX_PER_USER, RefreshTokens
from homeport.auth.secret import Secret
from homeport.db.schema import refresh_token
from homeport.db.users import delete_user

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


async def make_account(house: House) -> Account:
    return account_of(await house.add_user())


async def is_refused(house: House, token: Secret) -> bool:
    try:
        await house.refresh_tokens.redeem(token)
    except RefreshTokenInvalidError:
        return True
    return False


async def test_refresh_token_is_its_accounts_again_and_again(house: House, other_house: House) -> None:
    account = await make_account(house)
    token = await house.refresh_tokens.issue(account, "docker")

    assert await house.refresh_tokens.redeem(token) == account
    assert await other_house.refresh_tokens.redeem(token) == account


async def test_refresh_token_is_random_and_stored_as_a_hash(house: House) -> None:
    account = await make_account(house)
    tokens = {(await house.refresh_tokens.issue(account, "docker")).reveal() for _ in range(5)}

    hashes = await house.database.read(
        lambda connection: list(connection.execute(select(refresh_token.c.token_hash)).scalars())
    )
    assert len(tokens) == len(hashes) == 5
    assert not tokens & set(hashes)
    assert all(text.startswith("hprt_") and len(text) == 48 for text in tokens)


async def test_refresh_token_lives_for_thirty_days_after_its_last_use(house: House) -> None:
    token = await house.refresh_tokens.issue(await make_account(house), "docker")

    for _ in range(3):
        house.clock.turn(LIFETIME - DAY)
        assert not await is_refused(house, token)
    house.clock.turn(LIFETIME)
    assert await is_refused(house, token)


async def test_refresh_token_used_within_a_day_costs_no_write(house: House) -> None:
    token = await house.refresh_tokens.issue(await make_account(house), "docker")
    version = house.database.version()

    house.clock.turn(timedelta(hours=23))
    await house.refresh_tokens.redeem(token)

    assert house.database.version() == version


async def test_refresh_token_ends_with_the_password(house: House, other_house: House) -> None:
    token = await house.refresh_tokens.issue(await make_account(house), "docker")
    await other_house.refresh_tokens.redeem(token)

    await change_password(house.database, house.passwords, "alice", Secret("another password"))

    assert await is_refused(house, token)
    assert await is_refused(other_house, token)


async def test_refresh_token_given_while_the_password_changes_is_worthless(house: House) -> None:
    account = await make_account(house)
    await change_password(house.database, house.passwords, "alice", Secret("another password"))

    assert await is_refused(house, await house.refresh_tokens.issue(account, "docker"))


async def test_refresh_token_ends_with_its_user(house: House, other_house: House) -> None:
    account = await make_account(house)
    token = await house.refresh_tokens.issue(account, "docker")
    await house.database.write(delete_user, account.user_id)
    await house.add_user()

    assert await is_refused(other_house, token)
    with pytest.raises(RefreshTokenInvalidError):
        await house.refresh_tokens.issue(replace(account, user_id=account.user_id + 7), "docker")


async def test_refresh_token_is_for_one_service(house: House) -> None:
    token = await house.refresh_tokens.issue(await make_account(house), "docker")
    other = RefreshTokens(house.database, house.accounts, "other", house.clock)

    with pytest.raises(RefreshTokenInvalidError):
        await other.redeem(token)


@pytest.mark.parametrize("text", ["", "hprt_", "x" * 257, "\0", "\ud800", "' OR 1=1 --", "hprt_" + "A" * 43])
async def test_text_that_is_no_refresh_token_is_refused(sqlite_house: House, text: str) -> None:
    assert await is_refused(sqlite_house, Secret(text))


async def test_client_id_is_kept_printable_and_short(house: House) -> None:
    await house.refresh_tokens.issue(await make_account(house), "do\0ck\ner" + "x" * 500)

    kept = await house.database.read(
        lambda connection: connection.execute(select(refresh_token.c.client_id)).scalar_one()
    )
    assert kept == "docker" + "x" * 249


async def test_refresh_tokens_of_a_user_are_bounded(sqlite_house: House) -> None:
    account = await make_account(sqlite_house)
    first = await sqlite_house.refresh_tokens.issue(account, "docker")
    sqlite_house.clock.turn(timedelta(minutes=1))
    more = [
        {
            "token_hash": str(number),
            "user_id": account.user_id,
            "password_fingerprint": account.password_fingerprint,
            "service": SERVICE,
            "client_id": "docker",
            "created_at": sqlite_house.clock(),
            "expires_at": sqlite_house.clock() + LIFETIME,
        }
        for number in range(MAX_PER_USER)
    ]
    await sqlite_house.database.write(
        lambda connection: connection.execute(insert(refresh_token), more).rowcount
    )
    await sqlite_house.refresh_tokens.issue(account, "docker")

    count = await sqlite_house.database.read(
        lambda connection: connection.execute(select(func.count()).select_from(refresh_token)).scalar_one()
    )
    assert count == MAX_PER_USER
    assert await is_refused(sqlite_house, first)
