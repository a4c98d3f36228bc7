from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.engine import Database
from homeport.db.refresh_tokens import (
    StoredRefreshToken,
    add_refresh_token,
    carry_refresh_tokens_over,
    delete_refresh_tokens_expired_before,
    find_refresh_token,
    prolong_refresh_token,
)
from homeport.db.users import add_user, find_user

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)


async def make_user(database: Database, username: str) -> int:
    await database.write(add_user, username, "hash", NOW, is_sysadmin=False)
    user = await database.read(find_user, username)
    assert user is not None
    return user.id


def token(token_hash: str, user_id: int, expires_at: datetime = NOW + DAY) -> StoredRefreshToken:
    return StoredRefreshToken(token_hash, user_id, "fp", "homeport", "docker", NOW, expires_at)


async def present(database: Database, *hashes: str) -> list[str]:
    return [each for each in hashes if await database.read(find_refresh_token, each) is not None]


async def test_refresh_token_comes_back_as_it_was_stored(database: Database) -> None:
    stored = token("a", await make_user(database, "alice"))

    assert await database.write(add_refresh_token, stored, keep=5)
    assert await database.read(find_refresh_token, "a") == stored
    assert await database.read(find_refresh_token, "b") is None


async def test_refresh_token_of_nobody_is_not_stored(database: Database) -> None:
    assert not await database.write(add_refresh_token, token("a", 77), keep=5)


async def test_refresh_tokens_beyond_the_limit_go_soonest_to_expire_first(database: Database) -> None:
    alice, bob = await make_user(database, "alice"), await make_user(database, "bob")
    await database.write(add_refresh_token, token("of-bob", bob, NOW), keep=2)
    for number, name in enumerate(("b", "a", "c")):
        await database.write(add_refresh_token, token(name, alice, NOW + number * DAY), keep=2)

    assert await present(database, "a", "b", "c", "of-bob") == ["a", "c", "of-bob"]


async def test_prolonged_refresh_token_expires_later(database: Database) -> None:
    await database.write(add_refresh_token, token("a", await make_user(database, "alice")), keep=5)

    await database.write(prolong_refresh_token, "a", NOW + 9 * DAY)

    stored = await database.read(find_refresh_token, "a")
    assert stored is not None
    assert stored.expires_at == NOW + 9 * DAY


async def test_refresh_tokens_follow_a_rehashed_password(database: Database) -> None:
    alice = await make_user(database, "alice")
    await database.write(add_refresh_token, token("a", alice), keep=5)

    await database.write(carry_refresh_tokens_over, alice, "fp", "fp2")
    await database.write(carry_refresh_tokens_over, alice, "fp", "fp3")

    stored = await database.read(find_refresh_token, "a")
    assert stored is not None
    assert stored.password_fingerprint == "fp2"


async def test_delete_refresh_tokens_spares_those_that_live(database: Database) -> None:
    alice = await make_user(database, "alice")
    for number, name in enumerate("abc"):
        await database.write(add_refresh_token, token(name, alice, NOW + number * DAY), keep=5)

    assert await database.write(delete_refresh_tokens_expired_before, NOW + DAY) == 1
    assert await present(database, "a", "b", "c") == ["b", "c"]
