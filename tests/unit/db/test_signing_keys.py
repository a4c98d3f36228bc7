import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.engine import Database
from homeport.db.signing_keys import (
    StoredSigningKey,
    add_first_signing_key,
    delete_keys_retired_before,
    list_signing_keys,
    replace_signing_key,
)

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(kid: str, created_at: datetime = NOW, retired_at: datetime | None = None) -> StoredSigningKey:
    return StoredSigningKey(kid, "ES256", b"sealed", created_at, retired_at)


async def test_first_signing_key_is_stored_once(database: Database) -> None:
    assert await database.write(add_first_signing_key, key("a"))
    assert not await database.write(add_first_signing_key, key("b"))
    assert await database.read(list_signing_keys) == [key("a")]


async def test_first_signing_key_of_several_processes_is_one(
    database: Database, other_database: Database
) -> None:
    stored = await asyncio.gather(
        *(
            each.write(add_first_signing_key, key(f"kid-{number}"))
            for number, each in enumerate([database, other_database] * 5)
        )
    )

    assert sorted(stored) == [False] * 9 + [True]
    assert len(await database.read(list_signing_keys)) == 1


async def test_replaced_signing_key_is_retired_from_then_on(database: Database) -> None:
    await database.write(add_first_signing_key, key("a"))
    await database.write(replace_signing_key, key("b", NOW + HOUR))
    await database.write(replace_signing_key, key("c", NOW + 2 * HOUR))

    assert await database.read(list_signing_keys) == [
        key("c", NOW + 2 * HOUR),
        key("b", NOW + HOUR, NOW + 2 * HOUR),
        key("a", NOW, NOW + HOUR),
    ]


async def test_delete_keys_spares_those_retired_later(database: Database) -> None:
    await database.write(add_first_signing_key, key("a"))
    await database.write(replace_signing_key, key("b", NOW + HOUR))
    await database.write(replace_signing_key, key("c", NOW + 2 * HOUR))

    assert await database.write(delete_keys_retired_before, NOW + 2 * HOUR) == 1
    assert [stored.kid for stored in await database.read(list_signing_keys)] == ["c", "b"]
