"""Killed between any two steps of a request, the server has lost nothing and shows nothing by halves.

Each scenario is done again and again, and killed one step later each time, until there are no more. After
each kill everything that was acknowledged is there with its bytes, the rest is there or is not, uploads go on
or are given up, the same can be done again, the audit records are those of what was done, and an inspection
finds no damage.
"""

import pytest
from tests.crash.client import Client
from tests.crash.conftest import NewHouse
from tests.crash.kill_switch import Victim
from tests.crash.scenarios import REPOSITORIES, SCENARIOS, Scenario
from tests.crash.sweep import Sweep

pytestmark = pytest.mark.anyio

PARTS = {
    "uploads": ("monolithic", "chunked", "at once", "large", "cancel"),
    "mounts, pulls and deletes": ("mount", "pulls", "deletes"),
    "images": ("image", "index"),
    "tags": ("retag", "tags"),
}
BY_PART = pytest.mark.parametrize("part", PARTS)


def scenarios_of(part: str) -> list[Scenario]:
    return [scenario for scenario in SCENARIOS if scenario.name in PARTS[part]]


def test_every_scenario_has_its_part() -> None:
    assert sorted(name for names in PARTS.values() for name in names) == sorted(s.name for s in SCENARIOS)


async def sweep(
    new_house: NewHouse, part: str, victim: Victim, stride: int, *options: str, **more: str
) -> None:
    """Kill at every `stride`-th step, from another first step and with other connections in each scenario."""
    house = await new_house(*options, workers=4 if victim is Victim.PROCESS else 2, **more)
    for number, scenario in enumerate(scenarios_of(part)):
        run = Sweep(house, victim, stride=stride, keeps_alive=number % 2 == 0)
        kills = await run.run(scenario, first=1 + number % stride)
        print(f"{scenario.name}: {kills} kills at {dict(run.calls)}")  # noqa: T201 - shown when it fails
        assert kills > 0
    async with Client(house.server.url, house.world, house.authorization) as client:
        for repository in REPOSITORIES:
            await client.check_lists(repository)
    await house.check()


@BY_PART
async def test_worker_killed_at_any_step_loses_nothing(new_house: NewHouse, part: str) -> None:
    await sweep(new_house, part, Victim.PROCESS, 4)


@BY_PART
async def test_server_killed_at_any_step_loses_nothing(new_house: NewHouse, part: str) -> None:
    await sweep(new_house, part, Victim.GROUP, 16)


@BY_PART
async def test_worker_killed_on_postgresql_loses_nothing(
    new_house: NewHouse, part: str, postgres_url: str
) -> None:
    options = ("--database-url", postgres_url)
    await sweep(new_house, part, Victim.PROCESS, 8, *options, database_url=postgres_url)


@pytest.mark.soak
@BY_PART
async def test_worker_killed_at_every_step_loses_nothing(new_house: NewHouse, part: str) -> None:
    await sweep(new_house, part, Victim.PROCESS, 1)


@pytest.mark.soak
@BY_PART
async def test_server_killed_at_every_step_loses_nothing(new_house: NewHouse, part: str) -> None:
    await sweep(new_house, part, Victim.GROUP, 1)


@pytest.mark.soak
@BY_PART
async def test_server_killed_on_postgresql_at_every_step_loses_nothing(
    new_house: NewHouse, part: str, postgres_url: str
) -> None:
    options = ("--database-url", postgres_url)
    await sweep(new_house, part, Victim.GROUP, 1, *options, database_url=postgres_url)
