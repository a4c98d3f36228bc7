"""Doing many things at once, but only so many: bounded, and owned by a task group."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_PARALLEL = 8


async def map_bounded(
    work: Callable[[T], Awaitable[R]], items: Sequence[T], parallel: int = DEFAULT_PARALLEL
) -> list[R]:
    """Return what the work returns for each item, in their order, at most `parallel` at a time.

    The first error cancels what still runs and is raised as it is, not in a group.
    """
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for position, item in waiting:
            results[position] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parallel, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise _first(failures) from None
    return [results[position] for position in range(len(items))]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
