from datetime import UTC, datetime

import pytest

from homeport.db.engine import Database
from homeport.db.settings import StoredSetting, read_settings, store_settings

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def test_stored_settings_are_read_and_overwritten(database: Database) -> None:
    assert await database.read(read_settings) == {}

    await database.write(store_settings, {"a": StoredSetting("1"), "b": StoredSetting(None, b"s")}, NOW)
    await database.write(store_settings, {"a": StoredSetting("2")}, NOW)

    expected = {"a": StoredSetting("2"), "b": StoredSetting(None, b"s")}
    assert await database.read(read_settings) == expected


async def test_stored_settings_move_the_access_version(database: Database, other_database: Database) -> None:
    before = await other_database.access_version()

    await database.write(store_settings, {"a": StoredSetting("1")}, NOW)

    assert await other_database.access_version() != before


def test_sealed_value_is_not_shown() -> None:
    assert "s3cret" not in repr(StoredSetting(None, b"s3cret"))
