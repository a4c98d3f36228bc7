"""The parts of signing in, on databases of both kinds."""

import pytest
from tests.unit.auth.house import House

from homeport.db.engine import Database


@pytest.fixture
async def house(database: Database) -> House:
    """Return the parts of one worker process."""
    return House(database)


@pytest.fixture
async def other_house(house: House, other_database: Database) -> House:
    """Return the parts of another worker process on the same database and clock."""
    return House(other_database, house.clock)
