import asyncio

import pytest

from homeport.remote.workers import map_bounded

pytestmark = pytest.mark.anyio


async def test_results_keep_the_order_of_the_items() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0.001 * (10 - item))
        return item * item

    assert await map_bounded(work, range(10), 3) == [number * number for number in range(10)]
    assert await map_bounded(work, [], 3) == []


async def test_only_so_many_run_at_a_time() -> None:
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    await map_bounded(work, range(20), 4)
    assert most == 4


async def test_first_error_is_raised_as_it_is_and_ends_the_rest() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        if item == 3:
            raise LookupError("three")
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(item)

    with pytest.raises(LookupError, match="three"):
        await map_bounded(work, range(10), 4)
    assert sorted(ended) == [0, 1, 2]


async def test_cancelling_ends_all() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(item)

    task = asyncio.create_task(map_bounded(work, range(10), 4))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(ended) == 4
