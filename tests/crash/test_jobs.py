"""Killed between any two steps of taking in the pull journals, the jobs process loses no pull, doubles none.

Each round pulls, kills the worker that answered, so that its journal is finished, and kills the jobs process
one step later than in the round before, until it has no more steps to take.
"""

import asyncio
import os
import signal
import time
from itertools import count

import pytest
from tests.crash.client import Client, make_image
from tests.crash.conftest import NewHouse
from tests.crash.house import House
from tests.crash.kill_switch import Victim
from tests.crash.processes import is_there
from tests.crash.scenarios import HERE
from tests.crash.world import Key, Kind

pytestmark = pytest.mark.anyio

PULLS = 5
TIMEOUT_S = 20


async def pull(house: House, tag: str) -> None:
    async with Client(house.server.url, house.world, house.authorization) as client:
        for _ in range(PULLS):
            await client.settle([Key(Kind.TAG, HERE, tag)])


async def is_killed(house: House, tag: str, last: int) -> bool:
    """Return whether the jobs process was killed before it had taken in and removed the journals."""
    await house.all_up()
    workers = house.web_pids()
    house.switch.arm(house.jobs_pids(), last, Victim.PROCESS)
    await pull(house, tag)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT_S
    journals = house.settings.data / "journal"
    while not house.switch.has_fired:
        if not any(path.name.partition("-")[0] in map(str, workers) for path in journals.iterdir()):
            break
        assert time.monotonic() < deadline, "the journals are not taken in"
        await asyncio.sleep(0.01)
    house.switch.disarm()
    while any(map(is_there, workers)):
        assert time.monotonic() < deadline, "the workers do not end"
        await asyncio.sleep(0.01)
    return house.switch.has_fired


async def kill_jobs(house: House, stride: int) -> int:
    image = make_image()
    async with Client(house.server.url, house.world, house.authorization) as client:
        await client.push_image(HERE, image, "latest")
    for kills in count():
        if not await is_killed(house, "latest", 1 + kills * stride):
            await house.check()
            return kills
    raise AssertionError  # the count has no end


async def test_jobs_killed_at_any_step_lose_no_pull(new_house: NewHouse) -> None:
    house = await new_house()

    assert await kill_jobs(house, 4) > 5


async def test_jobs_killed_on_postgresql_lose_no_pull(new_house: NewHouse, postgres_url: str) -> None:
    house = await new_house("--database-url", postgres_url, database_url=postgres_url)

    assert await kill_jobs(house, 4) > 3


@pytest.mark.soak
async def test_jobs_killed_at_every_step_lose_no_pull(new_house: NewHouse) -> None:
    house = await new_house()

    assert await kill_jobs(house, 1) > 20
