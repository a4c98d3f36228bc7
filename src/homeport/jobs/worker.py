"""The jobs process: drains the journals and clears away what has expired."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from homeport.errors import HomeportError

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do again and again, with a pause in between."""

    name: str
    run: Callable[[], Awaitable[object]]
    pause_s: float


async def run_chores(chores: list[Chore], stop: asyncio.Event) -> None:
    """Run the chores side by side until the event is set, then each once more, and return.

    A chore that fails is logged and tried again after its pause.
    """
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(_repeat(chore, stop))
    for chore in chores:
        await _run_once(chore)


async def _repeat(chore: Chore, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await _run_once(chore)
        try:
            async with asyncio.timeout(chore.pause_s):
                await stop.wait()
        except TimeoutError:
            continue


async def _run_once(chore: Chore) -> None:
    try:
        await chore.run()
    except (HomeportError, OSError) as error:
        log.warning("chore_failed", chore=chore.name, error=str(error))
    except Exception:
        log.exception("chore_failed", chore=chore.name)
