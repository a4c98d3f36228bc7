"""Chores are done again and again, once more at the end, and a failure stops none of them."""

import asyncio

import pytest

from homeport.errors import HomeportError
from homeport.jobs.worker import Chore, run_chores

pytestmark = pytest.mark.anyio


async def test_chores_run_until_the_event_and_once_more() -> None:
    stop = asyncio.Event()
    done: list[str] = []

    async def often() -> None:
        done.append("often")
        if done.count("often") == 3:
            stop.set()

    async def seldom() -> None:
        done.append("seldom")

    await run_chores([Chore("often", often, 0.001), Chore("seldom", seldom, 60)], stop)

    assert (done.count("often"), done.count("seldom")) == (4, 2)
    assert done[-2:] == ["often", "seldom"]


async def test_stop_does_not_wait_for_a_pause() -> None:
    stop = asyncio.Event()

    async def nothing() -> None:
        await asyncio.sleep(0)

    task = asyncio.create_task(run_chores([Chore("nothing", nothing, 3600)], stop))
    await asyncio.sleep(0.01)
    stop.set()

    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("error", [HomeportError("no database"), OSError(5, "broken"), ValueError("a bug")])
async def test_chore_that_fails_is_tried_again_and_stops_no_other(error: Exception) -> None:
    stop = asyncio.Event()
    done: list[str] = []

    async def fails() -> None:
        done.append("fails")
        if done.count("fails") == 3:
            stop.set()
        raise error

    async def works() -> None:
        done.append("works")

    await run_chores([Chore("fails", fails, 0.001), Chore("works", works, 0.001)], stop)

    assert done.count("fails") == 4
    assert "works" in done
