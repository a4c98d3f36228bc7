import asyncio
import os
from collections.abc import AsyncGenerator

import pytest

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import ContentMismatchError, RefusedError

pytestmark = pytest.mark.anyio

CONTENT = os.urandom(1_000_000)


class Memory:
    """A place in memory that gives its content in pieces, and may fail on the way."""

    description = "memory"

    def __init__(self, content: bytes, piece: int, fail_at: int = -1) -> None:
        self.content, self.piece, self.fail_at = content, piece, fail_at
        self.offsets: list[int] = []

    async def read_blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the content from the offset on."""
        del descriptor
        self.offsets.append(offset)
        for start in range(offset, len(self.content), self.piece):
            if 0 <= self.fail_at <= start:
                raise RefusedError("memory refuses")
            yield self.content[start : start + self.piece]


def blob_of(memory: Memory, expected: bytes = CONTENT, advanced: list[int] | None = None) -> VerifiedBlob:
    descriptor = Descriptor("x/y", Digest.of(expected), len(expected))
    return VerifiedBlob(memory, descriptor, None if advanced is None else advanced.append)


@pytest.mark.parametrize("piece", [1000, 65_536, 65_537, 300_000, 2_000_000])
async def test_blob_streams_whole_and_counts_each_byte_once(piece: int) -> None:
    advanced: list[int] = []
    assert await blob_of(Memory(CONTENT, piece), advanced=advanced).read_all() == CONTENT
    assert sum(advanced) == len(CONTENT)


@pytest.mark.parametrize("piece", [1000, 300_000])
async def test_stream_may_be_taken_up_anywhere_before_what_was_seen(piece: int) -> None:
    memory, advanced = Memory(CONTENT, piece), [0]
    blob = blob_of(memory, advanced=advanced)
    for offset in (0, 100, 0, 250_000):
        chunks = blob.chunks(offset)
        async for _ in chunks:
            if blob.hashed_bytes >= 600_000:
                break
        await chunks.aclose()
    rest = b"".join([chunk async for chunk in blob.chunks(600_000)])
    assert rest == CONTENT[600_000:]
    assert sum(advanced) == len(CONTENT)


async def test_stream_that_is_cancelled_while_it_hashes_loses_nothing() -> None:
    blob = blob_of(Memory(CONTENT, 300_000))

    async def read() -> None:
        async for _ in blob.chunks():
            pass

    for _ in range(50):
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await blob.read_all() == CONTENT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CONTENT[:-1], "bytes, not"),
        (CONTENT + b"x", "longer than"),
        (CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "the bytes have the digest"),
        (b"", "0 bytes"),
    ],
)
async def test_other_content_is_an_error(content: bytes, reason: str) -> None:
    blob = blob_of(Memory(content, 100_000))
    with pytest.raises(ContentMismatchError, match=reason):
        await blob.read_all()
    assert isinstance(blob.failure, ContentMismatchError)


@pytest.mark.parametrize("piece", [1000, 100_000, 1_000_000])
async def test_last_piece_of_wrong_content_is_never_given(piece: int) -> None:
    wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    given = 0

    async def read() -> None:
        nonlocal given
        async for chunk in blob_of(Memory(wrong, piece)).chunks():
            given += len(chunk)

    with pytest.raises(ContentMismatchError):
        await read()
    assert given == len(CONTENT) - piece


async def test_failure_of_the_source_is_kept_until_the_next_stream() -> None:
    memory = Memory(CONTENT, 100_000, fail_at=500_000)
    blob = blob_of(memory)
    with pytest.raises(RefusedError):
        await blob.read_all()
    assert isinstance(blob.failure, RefusedError)
    memory.fail_at = -1
    assert b"".join([chunk async for chunk in blob.chunks(500_000)]) == CONTENT[500_000:]
    assert blob.failure is None


async def test_sha512_is_checked_too() -> None:
    descriptor = Descriptor("x/y", Digest.of(CONTENT, "sha512"), len(CONTENT))
    assert await VerifiedBlob(Memory(CONTENT, 100_000), descriptor).read_all() == CONTENT
    with pytest.raises(ContentMismatchError):
        await VerifiedBlob(Memory(CONTENT[::-1], 100_000), descriptor).read_all()
