"""Asked to end, the server finishes what runs and takes nothing new; nobody is left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.crash.client import Client, basic, digest_of, make_image
from tests.crash.processes import children_of, is_there
from tests.crash.world import Key, Kind, World
from tests.servers import HomeportServer

from homeport.app import read_audit
from homeport.config import load_settings
from homeport.db.audit import AuditFilter

pytestmark = pytest.mark.anyio

REPOSITORY = "crash/drain"
DRAIN_TIMEOUT_S = 4
SLOW_S = 1.5
BLOB_BYTES = 24 * 1024 * 1024
PIECES = 30
PATIENCE_S = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    """Run a server that waits a few seconds for running transfers."""
    started = HomeportServer(
        tmp_path / "server", environment={"HOMEPORT_DRAIN_TIMEOUT_S": str(DRAIN_TIMEOUT_S)}
    ).start()
    yield started
    started.stop()


@pytest.fixture
async def client(server: HomeportServer) -> AsyncIterator[Client]:
    """Return a client of the administrator."""
    async with Client(server.url, World(), authorization(server)) as opened:
        yield opened


def authorization(server: HomeportServer) -> str:
    return basic(server.user, server.password)


def port_of(server: HomeportServer) -> int:
    return int(server.host.rpartition(":")[2])


def head(server: HomeportServer, method: str, path: str, *lines: str) -> bytes:
    fixed = (f"{method} {path} HTTP/1.1", f"Host: {server.host}", f"Authorization: {authorization(server)}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


async def download(server: HomeportServer, digest: str, begun: asyncio.Event, *lines: str) -> bytes:
    """Read a blob slowly, through a narrow window."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=64 * 1024)
    writer.write(head(server, "GET", f"/v2/{REPOSITORY}/blobs/{digest}", *lines))
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")), answer
    (length,) = re.findall(rb"content-length: (\d+)", answer, re.IGNORECASE)
    parts = [await reader.readexactly(1)]
    begun.set()
    for _ in range(PIECES):
        await asyncio.sleep(SLOW_S / PIECES)
        parts.append(await reader.readexactly(int(length) // PIECES - 1))
    parts.append(await reader.readexactly(int(length) - len(b"".join(parts))))
    writer.close()
    return b"".join(parts)


async def upload(server: HomeportServer, path: str, content: bytes, begun: asyncio.Event) -> bytes:
    """Send the body of a PUT slowly and return the status line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(head(server, "PUT", path, f"Content-Length: {len(content)}"))
    size_bytes = -(-len(content) // PIECES)
    for start in range(0, len(content), size_bytes):
        writer.write(content[start : start + size_bytes])
        await writer.drain()
        await asyncio.sleep(SLOW_S / PIECES)
        begun.set()
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    return answer


async def ask_to_end(server: HomeportServer, begun: asyncio.Event) -> None:
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    os.kill(server.pid, signal.SIGTERM)


async def exit_code(server: HomeportServer) -> int:
    return await asyncio.to_thread(server.stop)


def is_running(server: HomeportServer) -> bool:
    """Tell whether the supervisor runs; one that has ended waits for this process to take note."""
    return Path(f"/proc/{server.pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[0] != "Z"


async def is_refused(server: HomeportServer) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def all_gone(pids: list[int]) -> float:
    """Wait until none of the processes is there and return for how long."""
    started = time.monotonic()
    while any(map(is_there, pids)):
        assert time.monotonic() - started < PATIENCE_S, "somebody is left behind"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.parametrize(("lines", "start"), [((), 0), (("Range: bytes=1-",), 1)], ids=["whole", "range"])
async def test_running_download_ends_whole(
    server: HomeportServer, client: Client, lines: tuple[str, ...], start: int
) -> None:
    content = os.urandom(BLOB_BYTES)
    digest = await client.push_blob(REPOSITORY, content)
    begun = asyncio.Event()
    running = asyncio.create_task(download(server, digest, begun, *lines))
    await ask_to_end(server, begun)

    assert await running == content[start:]
    assert await exit_code(server) == 0


async def test_running_upload_ends_whole(server: HomeportServer, client: Client) -> None:
    content = os.urandom(1024 * 1024)
    digest = digest_of(content)
    session = await client.begin_upload(REPOSITORY, content)
    begun = asyncio.Event()
    running = asyncio.create_task(upload(server, f"{session.location}?digest={digest}", content, begun))
    await ask_to_end(server, begun)

    assert b" 201 " in await running
    assert await exit_code(server) == 0
    server.start()
    async with Client(server.url, World(), authorization(server)) as other:
        assert (await other.ask("GET", f"/v2/{REPOSITORY}/blobs/{digest}")).body == content


async def test_new_connections_are_refused_while_a_transfer_runs(
    server: HomeportServer, client: Client
) -> None:
    content = os.urandom(BLOB_BYTES)
    digest = await client.push_blob(REPOSITORY, content)
    begun = asyncio.Event()
    running = asyncio.create_task(download(server, digest, begun))
    await ask_to_end(server, begun)
    await asyncio.sleep(SLOW_S / 3)

    assert await is_refused(server)
    assert not running.done()
    assert await running == content
    assert await exit_code(server) == 0


async def test_idle_connection_holds_nothing_up(server: HomeportServer, client: Client) -> None:
    await client.ask("GET", "/v2/")
    started = time.monotonic()

    assert await exit_code(server) == 0
    assert time.monotonic() - started < DRAIN_TIMEOUT_S / 2


async def test_second_signal_changes_nothing(server: HomeportServer) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_running(server):
        os.kill(server.pid, signal.SIGTERM)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.0002)

    assert await exit_code(server) == 0


async def test_transfer_that_takes_too_long_is_cut_off(server: HomeportServer, client: Client) -> None:
    digest = await client.push_blob(REPOSITORY, os.urandom(BLOB_BYTES))
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=1024)
    writer.write(head(server, "GET", f"/v2/{REPOSITORY}/blobs/{digest}"))
    await reader.readuntil(b"\r\n\r\n")
    started = time.monotonic()

    assert await exit_code(server) == 0
    assert DRAIN_TIMEOUT_S / 2 < time.monotonic() - started < DRAIN_TIMEOUT_S + 3
    writer.close()


async def test_pulls_before_the_end_are_in_the_database(server: HomeportServer, client: Client) -> None:
    image = make_image()
    await client.push_image(REPOSITORY, image, "latest")
    for _ in range(20):
        await client.look(Key(Kind.TAG, REPOSITORY, "latest"))

    assert await exit_code(server) == 0
    assert list((server.data / "journal").glob("*.pulls")) == []
    records = await read_audit(
        load_settings(data=server.data), AuditFilter(operation="pull", repository=REPOSITORY), 100
    )
    assert len(records) == 20


async def test_killed_supervisor_takes_everybody_down(server: HomeportServer) -> None:
    pids = children_of(server.pid)
    assert len(pids) == server.workers + 1
    os.kill(server.pid, signal.SIGKILL)

    await all_gone(pids)
    await exit_code(server)
    server.start()


async def test_killed_supervisor_leaves_nobody_for_longer_than_the_drain_takes(
    server: HomeportServer, client: Client
) -> None:
    digest = await client.push_blob(REPOSITORY, os.urandom(BLOB_BYTES))
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), limit=1024)
    writer.write(head(server, "GET", f"/v2/{REPOSITORY}/blobs/{digest}"))
    await reader.readuntil(b"\r\n\r\n")
    pids = children_of(server.pid)
    os.kill(server.pid, signal.SIGKILL)

    try:
        assert await all_gone(pids) < DRAIN_TIMEOUT_S + 3
    finally:
        writer.close()


def second(server: HomeportServer, data: Path, listen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeport", "serve", "--data", str(data), "--listen", listen]
    return subprocess.run(
        command,
        env={**os.environ, "HOMEPORT_ADMIN_PASSWORD": server.password},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_second_server_on_the_same_data_says_so(server: HomeportServer) -> None:
    ended = second(server, server.data, "127.0.0.1:0")

    assert ended.returncode == 1
    assert f"a server already uses the data directory {server.data} (process {server.pid})" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_second_server_on_the_same_port_says_so(server: HomeportServer, tmp_path: Path) -> None:
    ended = second(server, tmp_path / "other", server.host)

    assert ended.returncode == 1
    assert f"{server.host} cannot be listened on" in ended.stderr
    assert "Traceback" not in ended.stderr
