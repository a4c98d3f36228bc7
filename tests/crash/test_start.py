"""Killed while it starts for the first time, the server starts the next time and is whole."""

from pathlib import Path

import pytest
from tests.crash.house import House
from tests.crash.kill_switch import EVERYBODY, Victim

pytestmark = pytest.mark.anyio

NEVER = 2**40


def is_killed(house: House, last: int) -> bool:
    """Start the server; return whether it was killed before it was ready."""
    house.switch.arm(EVERYBODY, last, Victim.GROUP)
    try:
        house.server.start()
    except pytest.fail.Exception:
        assert house.switch.has_fired, house.server.output
        return True
    finally:
        house.switch.disarm()
    return False


async def check_start(directory: Path, last: int) -> None:
    house = House(directory, workers=1)
    try:
        if is_killed(house, last):
            await house.ended()
            await house.start()
            await house.check()
    finally:
        await house.ended()


async def steps_of_a_start(directory: Path) -> int:
    house = House(directory, workers=1)
    try:
        assert not is_killed(house, NEVER)
        return house.switch.steps
    finally:
        await house.ended()


@pytest.mark.parametrize("half", range(2))
async def test_first_start_may_be_killed(tmp_path: Path, half: int) -> None:
    steps = await steps_of_a_start(tmp_path / "whole")

    for number in range(half, 16, 2):
        await check_start(tmp_path / f"killed-{number}", 1 + steps * number // 16)


@pytest.mark.soak
async def test_first_start_may_be_killed_at_any_step(tmp_path: Path) -> None:
    steps = await steps_of_a_start(tmp_path / "whole")

    for last in range(1, steps, 7):
        await check_start(tmp_path / f"killed-{last}", last)
