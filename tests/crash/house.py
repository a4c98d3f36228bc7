"""A server under a kill switch, with a client and the model of what it must show."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.crash.client import basic, sign_in
from tests.crash.kill_switch import KillSwitch
from tests.crash.processes import children_of, is_there, listeners
from tests.crash.scenarios import REPOSITORIES
from tests.crash.world import World
from tests.servers import HomeportServer

from homeport.app import inspect_data, read_audit
from homeport.config import Settings, load_settings
from homeport.db.audit import AuditFilter, AuditRecord
from homeport.registry.inspection import SILENT, Report

_SETTLE_TIMEOUT_S = 30
_MAX_RECORDS = 10_000_000


class House:
    """A real server, and its data as it can be looked at from outside."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        workers: int = 2,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        self.world = World()
        self.switch = KillSwitch(directory / "switch")
        self.server = HomeportServer(
            directory / "server",
            *options,
            workers=workers,
            environment={**self.switch.environment, **(environment or {})},
        )
        self.authorization = ""
        self.settings: Settings = load_settings(data=self.server.data, **settings)

    async def start(self) -> None:
        """Start the server and wait until every process of it is there."""
        await asyncio.to_thread(self.server.start)
        await self.all_up()
        if not self.authorization:
            account = basic(self.server.user, self.server.password)
            self.authorization = await sign_in(self.server.url, account, *REPOSITORIES)

    async def all_up(self) -> None:
        """Wait until every web worker listens and the jobs process is there."""
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        while len(self.web_pids()) < self.server.workers or not self.jobs_pids():
            assert time.monotonic() < deadline, f"processes are missing:\n{self.server.output[-2000:]}"
            await asyncio.sleep(0.01)

    def web_pids(self) -> Sequence[int]:
        """Return the web workers that listen."""
        return listeners(children_of(self.server.pid), int(self.server.host.rpartition(":")[2]))

    def jobs_pids(self) -> Sequence[int]:
        """Return the jobs process, once all web workers listen."""
        web = self.web_pids()
        return [pid for pid in children_of(self.server.pid) if pid not in web]

    async def one_gone(self, pids: Sequence[int]) -> None:
        """Wait until one of the processes has ended, its sockets with it, and others listen."""
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        while all(map(is_there, pids)) or not self.web_pids():
            assert time.monotonic() < deadline, "nobody has ended"
            await asyncio.sleep(0.002)

    async def ended(self) -> None:
        """Wait until the supervisor and all of its children are gone."""
        await asyncio.to_thread(self.server.kill)

    async def inspect(self) -> Report:
        """Look for damage in all that the server keeps; every blob is read."""
        return await inspect_data(self.settings, SILENT, reads_content=True)

    async def audit(self) -> list[AuditRecord]:
        """Return every audit record, those in the journals too."""
        return [record for _, record in await read_audit(self.settings, AuditFilter(), _MAX_RECORDS)]

    async def check(self) -> None:
        """Fail unless nothing is damaged and every request has its audit records."""
        report = await self.inspect()
        assert report.is_healthy, report.findings
        self.world.check_audit(await self.audit())
