"""Fixtures: servers that are killed."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.house import House

NewHouse = Callable[..., Awaitable[House]]


@pytest.fixture
def soak_s() -> float:
    """Return for how long a soak runs, in seconds."""
    return 60 * float(os.environ.get("HOMEPORT_SOAK_MINUTES", "1"))


@pytest.fixture
async def new_house(tmp_path: Path) -> AsyncIterator[NewHouse]:
    """Return what starts a server under a kill switch; it ends with the test."""
    houses: list[House] = []

    async def start(*options: str, **more: Any) -> House:
        house = House(tmp_path / f"house-{len(houses)}", *options, **more)
        houses.append(house)
        await house.start()
        return house

    yield start
    for house in houses:
        await house.ended()
