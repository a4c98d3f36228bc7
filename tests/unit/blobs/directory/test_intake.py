import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from homeport.blobs.directory.intake import Intake, Threads
from homeport.blobs.directory.session import UploadSession, create_session, remove_session
from homeport.blobs.store import StorageUnavailableError, UploadUnknownError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def threads(tmp_path: Path) -> AsyncIterator[Threads]:
    threads = Threads(tmp_path, 2)
    yield threads
    await threads.close()


async def in_chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def test_run_returns_the_result_of_another_thread(threads: Threads) -> None:
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_run_makes_system_errors_its_own(threads: Threads, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="missing"):
        await threads.run((tmp_path / "absent").read_bytes)


async def test_cancelled_caller_waits_for_the_work(threads: Threads) -> None:
    done = []

    def work() -> None:
        time.sleep(0.2)
        done.append(1)

    task = asyncio.create_task(threads.run(work))
    for _ in range(3):
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]


async def test_iterate_yields_everything_page_by_page(threads: Threads) -> None:
    assert [item async for item in threads.iterate(iter(range(1234)))] == list(range(1234))
    nothing: list[int] = []
    assert [item async for item in threads.iterate(iter(nothing))] == []


@pytest.mark.parametrize("chunk", [1, 1000, 400_000, 1024 * 1024, 5_000_000])
async def test_take_appends_chunks_of_any_size(threads: Threads, tmp_path: Path, chunk: int) -> None:
    content = bytes(range(256)) * (chunk * 3 // 256 + 1)
    create_session(tmp_path / "session", "sha256")
    with closing(UploadSession(tmp_path / "session", None)) as session:
        await Intake(session, threads).take(in_chunks(content, chunk))
        assert session.size_bytes == len(content)
    assert (tmp_path / "session").read_bytes() == content


async def test_take_ends_soon_after_an_error_and_writes_no_more(threads: Threads, tmp_path: Path) -> None:
    create_session(tmp_path / "session", "sha256")
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(20):
            taken += 1
            yield bytes(600_000)

    with closing(UploadSession(tmp_path / "session", None)) as session:
        remove_session(tmp_path / "session")
        with pytest.raises(UploadUnknownError):
            await Intake(session, threads).take(chunks())
        assert session.size_bytes == 0
    assert taken <= 4
