"""Taking in a body: it is written and hashed in a thread while more of it arrives."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from homeport.blobs.directory.files import storage_errors
from homeport.blobs.directory.session import UploadSession
from homeport.errors import HomeportError

P = ParamSpec("P")
T = TypeVar("T")

_BATCH_BYTES = 1024 * 1024
_BATCH_CHUNKS = 512
_PAGE_ITEMS = 500
_INLINE_BYTES = 128 * 1024


class Threads:
    """Runs blocking work of the storage in the root directory; its OSErrors come out as the store's own."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="blobs")

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin the work; the result is to be awaited with `end`."""
        return asyncio.get_running_loop().run_in_executor(self._executor, self._work, work, args, kwargs)

    async def end(self, future: asyncio.Future[T]) -> T:
        """Return the result of the work.

        A cancelled caller waits too and is cancelled then: files that the work uses stay open as long.
        """
        cancellation: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as error:
                cancellation = error
        if cancellation is not None:
            future.exception()
            raise cancellation
        return future.result()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work and return its result."""
        return await self.end(self.start(work, *args, **kwargs))

    async def iterate(self, items: Iterator[T]) -> AsyncIterator[T]:
        """Yield the items, a page of which is looked up at a time."""
        while page := await self.run(list, itertools.islice(items, _PAGE_ITEMS)):
            for item in page:
                yield item

    async def close(self) -> None:
        """Wait for all work and end the threads."""
        await asyncio.to_thread(self._executor.shutdown)

    def _work(self, work: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]) -> T:
        with storage_errors(self.root):
            return work(*args, **kwargs)


class Intake:
    """Appends what arrives to an open session: one batch is being written while the next is collected."""

    def __init__(self, session: UploadSession, threads: Threads) -> None:
        self._session = session
        self._threads = threads
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Append all chunks. When that fails or ends early, all that arrived before is appended.

        When this returns or raises, no thread uses the session any more.
        """
        try:
            async for chunk in chunks:
                self._batch.append(chunk)
                self._batch_bytes += len(chunk)
                if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_CHUNKS:
                    await self._written()
                    self._writing = self._threads.start(self._session.write, self._next_batch())
        except BaseException:
            with suppress(HomeportError):
                await self._flush()
            raise
        await self._flush()

    async def _written(self) -> None:
        """Wait for the batch before; its error, if any, is raised each time, so that no gap can follow."""
        if self._writing is not None:
            await self._threads.end(self._writing)

    async def _flush(self) -> None:
        await self._written()
        if self._batch_bytes <= _INLINE_BYTES:
            # A change of threads would take longer than this write into the system's cache.
            with storage_errors(self._threads.root):
                self._session.write(self._next_batch())
        else:
            await self._threads.run(self._session.write, self._next_batch())

    def _next_batch(self) -> list[bytes]:
        batch = self._batch
        self._batch = []
        self._batch_bytes = 0
        return batch
