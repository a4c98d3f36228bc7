"""Killed while it starts for the first time, the server starts the next time and is whole."""

from pathlib import Path

import pytest
from tests.crash.house import House
from tests.crash.kill_switch import EVERYBODY, Victim
from tests.reader import RegistryReader

pytestmark = pytest.mark.anyio

NEVER = 2**40
TLS = ("--tls", "auto", "--hostname", "localhost")


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


async def check_start(directory: Path, last: int, *options: str) -> None:
    house = House(directory, *options, workers=1)
    try:
        if is_killed(house, last):
            await house.ended()
            house.server.start()
        await house.check()
        reader = RegistryReader(house.server.registry)
        assert reader.status("/v2/_catalog") == 200
    finally:
        await house.ended()


async def steps_of_a_start(directory: Path, *options: str) -> int:
    house = House(directory, *options, workers=1)
    try:
        assert not is_killed(house, NEVER)
        return house.switch.steps
    finally:
        await house.ended()


@pytest.mark.parametrize("half", range(2))
async def test_first_start_may_be_killed(tmp_path: Path, half: int) -> None:
    steps = await steps_of_a_start(tmp_path / "whole")

    for number in range(half, 14, 2):
        await check_start(tmp_path / f"killed-{number}", 1 + steps * number // 14)


async def test_first_start_with_tls_may_be_killed_while_it_makes_an_authority(tmp_path: Path) -> None:
    for last in range(4, 40, 6):
        await check_start(tmp_path / f"killed-{last}", last, *TLS)


@pytest.mark.soak
@pytest.mark.parametrize("options", [(), TLS], ids=["plain", "tls"])
async def test_first_start_may_be_killed_at_any_step(tmp_path: Path, options: tuple[str, ...]) -> None:
    steps = await steps_of_a_start(tmp_path / "whole", *options)

    for last in range(1, steps, 1 + steps // 150):
        await check_start(tmp_path / f"killed-{last}", last, *options)
