"""Measures the directory store without a server: `python -m bench.blob_store [DIRECTORY]`.

Beside each figure stands what the same system calls and the same hash cost without the store.
"""

import asyncio
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from homeport.blobs.directory import DirectoryStore
from homeport.oci.digest import Digest

OWNER = "library/nginx"
ROUNDS = 5
LARGE_BYTES = 512 * 1024 * 1024
CHUNK_BYTES = 400_000
SMALL_BYTES = 4096
SMALL_COUNT = 200

CHUNKS = [os.urandom(CHUNK_BYTES) for _ in range(16)]


async def body(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks, as a server hands them over."""
    for chunk in chunks:
        yield chunk


def large_body() -> list[bytes]:
    """Return the large content's chunks; they share their memory."""
    return [CHUNKS[number % len(CHUNKS)] for number in range(LARGE_BYTES // CHUNK_BYTES)]


async def push(store: DirectoryStore, chunks: list[bytes], digest: Digest) -> None:
    """Bring the content into the store."""
    upload_id = await store.open_upload(OWNER)
    await store.append(upload_id, OWNER, body(chunks), offset=0)
    await store.commit(upload_id, OWNER, digest)


def write(path: Path, chunks: list[bytes], target: Path) -> None:
    """Do what must be done for the same outcome: hash, write, sync, rename, sync the directory."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
        os.write(descriptor, chunk)
    os.fsync(descriptor)
    os.close(descriptor)
    path.rename(target)
    directory = os.open(target.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def digest_of(chunks: list[bytes]) -> Digest:
    """Return the digest of the content."""
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    return Digest("sha256", hasher.hexdigest())


async def measure_large(store: DirectoryStore, root: Path) -> None:
    """Print MB/s of one large upload at a time."""
    chunks = large_body()
    digest = digest_of(chunks)
    ours, bare = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        await push(store, chunks, digest)
        ours.append(LARGE_BYTES / 1e6 / (time.perf_counter() - begin))
        await store.delete(digest)
        begin = time.perf_counter()
        await asyncio.to_thread(write, root / "new", chunks, root / "bare")
        bare.append(LARGE_BYTES / 1e6 / (time.perf_counter() - begin))
        (root / "bare").unlink()
    show("512 MiB, one upload, MB/s", ours, bare)


async def measure_small(store: DirectoryStore, root: Path) -> None:
    """Print ms per small blob, one after the other and 16 at a time."""
    ours, bare, together = [], [], []
    gate = asyncio.Semaphore(16)

    async def push_one(content: bytes) -> None:
        async with gate:
            await push(store, [content], Digest.of(content))

    for _ in range(ROUNDS):
        contents = [os.urandom(SMALL_BYTES) for _ in range(SMALL_COUNT)]
        begin = time.perf_counter()
        for content in contents:
            await push(store, [content], Digest.of(content))
        ours.append((time.perf_counter() - begin) / SMALL_COUNT * 1e3)
        begin = time.perf_counter()
        for number, content in enumerate(contents):
            write(root / "new", [content], root / f"bare{number}")
        bare.append((time.perf_counter() - begin) / SMALL_COUNT * 1e3)
        contents = [os.urandom(SMALL_BYTES) for _ in range(SMALL_COUNT)]
        begin = time.perf_counter()
        await asyncio.gather(*map(push_one, contents))
        together.append((time.perf_counter() - begin) / SMALL_COUNT * 1e3)
    show("4 KiB, one after the other, ms", ours, bare)
    show("4 KiB, 16 at a time, ms per blob", together, bare)


def show(what: str, ours: list[float], bare: list[float]) -> None:
    """Print the least, the middle and the most of each."""

    def three(figures: list[float]) -> str:
        return " - ".join(f"{choose(figures):.3g}" for choose in CHOICES)

    print(f"{what}\n    store  {three(ours)}\n    bare   {three(bare)}")


CHOICES: tuple[Callable[[list[float]], float], ...] = (min, statistics.median, max)


async def main(parent: str) -> None:
    """Measure in a new directory of the parent and remove it."""
    root = Path(tempfile.mkdtemp(dir=parent))
    store = DirectoryStore(root / "store")
    try:
        await store.open()
        await measure_large(store, root)
        await measure_small(store, root)
        await store.close()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "."))
