"""Databases of both kinds for the tests of what is kept in them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeport.db.engine import Database, open_database
from homeport.db.upgrade import upgrade_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of this test alone, of each kind."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'homeport.db'}"


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """Return an open database with today's schema."""
    database = open_database(database_url, tmp_path / "run")
    await database.open()
    await upgrade_database(database)
    yield database
    await database.close()


@pytest.fixture
async def other_database(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """Return the same database as another process of the machine has it open."""
    del database  # it made the schema
    other = open_database(database_url, tmp_path / "run")
    await other.open()
    yield other
    await other.close()
