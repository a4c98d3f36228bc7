import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.images import OciLayout
from tests.integration.copying import Copier
from tests.reader import Registry, RegistryReader
from tests.servers import DockerRegistry, HomeportServer

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Place:
    """A registry, and whether it keeps what it got of an upload that broke."""

    registry: Registry
    keeps_uploads: bool


@pytest.fixture
def copier(tmp_path: Path) -> Copier:
    """Return `homeport copy` with a home of its own."""
    (tmp_path / "home").mkdir()
    return Copier(tmp_path / "home")


@pytest.fixture(params=["docker-registry", "homeport"])
def place(request: pytest.FixtureRequest) -> Place:
    """Return a registry: docker-registry, which forgets what a broken upload has sent, and Homeport."""
    if request.param == "homeport":
        server: HomeportServer = request.getfixturevalue("homeport_server")
        return Place(server.registry, keeps_uploads=True)
    peer: DockerRegistry = request.getfixturevalue("docker_registry")
    return Place(peer.registry, keeps_uploads=False)


class CuttingProxy:
    """Passes connections on to a registry and breaks some after so many bytes in one direction."""

    def __init__(self, target: Registry, *, cuts: int, after: int, direction: str) -> None:
        self.cuts = cuts
        self.moved = 0
        self.host = ""
        self._after = after
        self._direction = direction
        self._target = target.host.split(":")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        try:
            far_reader, far_writer = await asyncio.open_connection(self._target[0], int(self._target[1]))
        except OSError:
            writer.close()
            return
        up = asyncio.create_task(self._pump(reader, far_writer, counted=self._direction == "up"))
        down = asyncio.create_task(self._pump(far_reader, writer, counted=self._direction == "down"))
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down):
            task.cancel()
        for stream in (writer, far_writer):
            stream.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        left = self._after
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
                if not counted:
                    continue
                self.moved += len(chunk)
                left -= len(chunk)
                if left <= 0 and self.cuts > 0:
                    self.cuts -= 1
                    await asyncio.sleep(0.05)
                    return


@asynccontextmanager
async def cutting(target: Registry, *, cuts: int, after: int, direction: str) -> AsyncIterator[CuttingProxy]:
    """Run a proxy on a free port."""
    proxy = CuttingProxy(target, cuts=cuts, after=after, direction=direction)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_copy_goes_on_where_a_real_registry_was_cut_off(
    direction: str, copier: Copier, place: Place, repository: str, tmp_path: Path
) -> None:
    layout, back = OciLayout(tmp_path / "image").create(), OciLayout(tmp_path / "back")
    size_bytes, cuts, after = 24_000_000, 4, 3_000_000
    layout.add_image("1", "amd64", [{"noise": os.urandom(size_bytes)}])
    registry = place.registry
    account = f"{registry.user}:{registry.password}" if registry.user else ""
    environment = {"HOMEPORT_SRC_CREDS": account, "HOMEPORT_DEST_CREDS": account}

    async def copy(source: str, destination: str) -> None:
        await asyncio.to_thread(copier.copy, source, destination, **environment)

    if direction == "down":
        await copy(f"oci:{layout.directory}:1", f"{registry.host}/{repository}:1")
    async with cutting(registry, cuts=cuts, after=after, direction=direction) as proxy:
        through = f"{proxy.host}/{repository}:1"
        if direction == "down":
            await copy(through, f"oci:{back.directory}:1")
            assert back.content(layout.digest("1")) == layout.content(layout.digest("1"))
        else:
            await copy(f"oci:{layout.directory}:1", through)
            image = RegistryReader(registry).image(repository, "1")
            assert image.content == layout.content(layout.digest("1"))
    assert proxy.cuts == 0
    if direction == "down" or place.keeps_uploads:
        assert proxy.moved < size_bytes + cuts * after // 2
