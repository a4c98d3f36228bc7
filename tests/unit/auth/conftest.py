"""The parts of signing in, on databases of both kinds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.auth.house import House

from homeport.db.engine import Database, open_database
from homeport.db.upgrade import upgrade_database


@pytest.fixture
async def house(database: Database) -> House:
    """Return the parts of one worker process."""
    return House(database)


@pytest.fixture
async def other_house(house: House, other_database: Database) -> House:
    """Return the parts of another worker process on the same database and clock."""
    return House(other_database, house.clock)


@pytest.fixture
async def sqlite_house(tmp_path: Path) -> AsyncIterator[House]:
    """Return the parts of one worker process on SQLite, for long tables that no database matters to."""
    database = open_database(f"sqlite:///{tmp_path / 'homeport.db'}", tmp_path / "run")
    await database.open()
    await upgrade_database(database)
    yield House(database)
    await database.close()
