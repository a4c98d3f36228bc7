"""The control plane's services, on databases of both kinds."""

import pytest
from tests.unit.control.house import ControlHouse

from homeport.db.engine import Database


@pytest.fixture
async def house(database: Database) -> ControlHouse:
    """Return the services of one worker."""
    return ControlHouse(database)


@pytest.fixture
async def other_house(house: ControlHouse, other_database: Database) -> ControlHouse:
    """Return the services of another worker on the same database."""
    del house
    return ControlHouse(other_database)
