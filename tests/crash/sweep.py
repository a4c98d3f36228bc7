"""Does a thing again and again, and kills the server one step later each time."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from tests.crash.client import Client
from tests.crash.house import House
from tests.crash.http import LostError
from tests.crash.kill_switch import Victim
from tests.crash.scenarios import Act, Scenario
from tests.crash.world import Session

_MAX_STEPS = 1000
_MAX_TRIES = 50
_INSPECTED_EVERY = 10
_LAST_STEPS_S = 0.03


class Sweep:
    """Kills at the steps `first`, `first + stride` ... of a scenario until it has no more steps."""

    def __init__(self, house: House, victim: Victim, *, stride: int = 1, keeps_alive: bool = True) -> None:
        self.house = house
        self.victim = victim
        self.stride = stride
        self.keeps_alive = keeps_alive
        self.calls: Counter[str] = Counter()

    async def run(self, scenario: Scenario, first: int = 1) -> int:
        """Return at how many steps the server was killed; fails when anything promised is missing."""
        for kills, last in enumerate(range(first, _MAX_STEPS, self.stride)):
            if not await self._kill_at(scenario, last):
                return kills
        raise AssertionError(f"{scenario.name} has not ended after {_MAX_STEPS} steps")

    async def _kill_at(self, scenario: Scenario, last: int) -> bool:
        """Return whether somebody was killed at the step; False means that there is no such step."""
        house = self.house
        for _ in range(_MAX_TRIES):
            async with self._client() as client:
                act = await scenario.prepare(client, house.world)
            watched = house.web_pids()
            if await self._is_killed(act, watched, last):
                self.calls[house.switch.call] += 1
                try:
                    await self._check(act, watched, last)
                except (AssertionError, LostError) as error:
                    step = f"{scenario.name}, killed at step {last}: {house.switch.call}"
                    raise AssertionError(step) from error
                return True
            # A worker that was started meanwhile may have done it, unwatched.
            if set(house.web_pids()) == set(watched):
                return False
        raise AssertionError(f"{scenario.name}: no try at step {last} met a worker that was watched")

    async def _is_killed(self, act: Act, watched: Sequence[int], last: int) -> bool:
        switch = self.house.switch
        lost = None
        async with self._client() as client:
            switch.arm(watched, last, self.victim)
            try:
                await act(client)
            except LostError as error:
                lost = error
            await asyncio.sleep(0 if switch.has_fired else _LAST_STEPS_S)
            switch.disarm()
        assert switch.has_fired or lost is None, f"nobody was killed, and yet {lost}"
        return switch.has_fired

    async def _check(self, act: Act, watched: Sequence[int], last: int) -> None:
        house = self.house
        if self.victim is Victim.GROUP:
            await house.ended()
            await house.start()
        else:
            await house.one_gone(watched)

        def resumes(_session: Session) -> bool:
            return last % 2 == 0

        async with self._client() as client:
            await client.settle(house.world.unsettled())
            await client.settle_uploads(resumes=resumes)
            await act(client)
            assert not house.world.unsettled()
        if self.victim is Victim.GROUP or last % _INSPECTED_EVERY == 0:
            report = await house.inspect()
            assert report.is_healthy, report.findings

    def _client(self) -> Client:
        server = self.house.server
        return Client(server.url, self.house.world, self.house.authorization, keeps_alive=self.keeps_alive)
