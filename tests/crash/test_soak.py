"""Many clients push and pull while processes are killed: nothing acknowledged is lost, no byte is wrong."""

import asyncio
import os
import random
import signal
import subprocess
import sys

import pytest
from tests.crash.conftest import NewHouse
from tests.crash.crowd import Crowd
from tests.crash.house import House
from tests.crash.processes import children_of, memory_bytes

pytestmark = pytest.mark.anyio

MAX_MEMORY_BYTES = 600 * 1024 * 1024
DOCTOR_TIMEOUT_S = 300
LEAST_DONE = 10


async def kill_workers(house: House, pause_s: float, chance: random.Random) -> int:
    """Kill one worker after the other, sometimes the jobs process, until cancelled."""
    while True:
        await asyncio.sleep(pause_s)
        pids = house.jobs_pids() if chance.random() < 0.2 else house.web_pids()
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)


def all_memory_bytes(pid: int) -> int:
    return sum(map(memory_bytes, [pid, *children_of(pid)]))


async def watch_memory(house: House, seen: list[int]) -> None:
    """Note the memory of all processes every second, until cancelled."""
    while True:
        seen.append(await asyncio.to_thread(all_memory_bytes, house.server.pid))
        await asyncio.sleep(1)


def run_doctor(house: House, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeport", "doctor", "--content", "--data", str(house.settings.data)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=DOCTOR_TIMEOUT_S, check=False
    )


async def soak(house: House, clients: int, seconds: float, pause_s: float, *options: str) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - no secret
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    crowd = Crowd(house, seed)
    await crowd.prepare()
    memory: list[int] = []
    helpers = [
        asyncio.create_task(kill_workers(house, pause_s, random.Random(seed))),  # noqa: S311 - no secret
        asyncio.create_task(watch_memory(house, memory)),
    ]
    try:
        await crowd.run(clients, seconds)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
    print(f"{dict(crowd.done)}, at most {max(memory) >> 20} MiB")  # noqa: T201 - shown when it fails

    await house.all_up()
    await crowd.check()
    doctor = await asyncio.to_thread(run_doctor, house, *options)
    assert doctor.returncode == 0, doctor.stdout
    assert await asyncio.to_thread(house.server.stop) == 0
    await house.check()
    assert min(crowd.done["push"], crowd.done["pull"]) > LEAST_DONE
    assert max(memory) < MAX_MEMORY_BYTES


async def test_clients_lose_nothing_while_workers_are_killed(new_house: NewHouse) -> None:
    await soak(await new_house(), 200, 60, 3)


async def test_clients_on_postgresql_lose_nothing_while_workers_are_killed(
    new_house: NewHouse, postgres_url: str
) -> None:
    options = ("--database-url", postgres_url)
    house = await new_house(*options, database_url=postgres_url)
    await soak(house, 50, 15, 2, *options)


@pytest.mark.soak
async def test_clients_lose_nothing_for_long(new_house: NewHouse, soak_s: float) -> None:
    await soak(await new_house(workers=4), 200, soak_s, 2)
