"""Blobs on their way: every byte counted and hashed while it streams."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from homeport.oci.digest import new_hash
from homeport.oci.manifest import Descriptor
from homeport.remote.errors import ContentMismatchError, RemoteError

CHUNK_BYTES = 1024 * 1024

_INLINE_HASH_BYTES = 64 * 1024


class BlobReader(Protocol):
    """Where the bytes of blobs come from."""

    @property
    def description(self) -> str:
        """The place in words for people, without secrets."""

    def read_blob(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the offset on as the place has them, not checked (see VerifiedBlob).

        Broken connections are taken up again where they stopped. Raises NotFoundError, TransientError
        when going on did not help, ContentMismatchError when the length is known to be wrong.
        """


class VerifiedBlob:
    """A blob of a source, streamed any number of times from any offset, its digest checked in passing.

    Every byte is hashed once, in order. The last piece comes only when size and digest are right, so whoever
    has got all bytes has got the right ones; else ContentMismatchError. `failure` keeps what stopped the last
    stream, for callers who only see that their own side broke off.
    """

    def __init__(
        self, source: BlobReader, descriptor: Descriptor, advance: Callable[[int], None] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.failure: RemoteError | None = None
        self._source = source
        self._advance = advance
        self._hash = new_hash(descriptor.digest.algorithm)
        self._hashed_bytes = 0
        self._hashing: asyncio.Future[None] | None = None
        self._busy = asyncio.Lock()

    @property
    def hashed_bytes(self) -> int:
        """How many bytes have been seen; a stream may start at any offset up to here."""
        return self._hashed_bytes

    async def read_all(self) -> bytes:
        """Return the whole checked content; for small blobs."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the content from the offset on; one stream at a time."""
        async with self._busy:
            self.failure = None
            try:
                async with aclosing(self._checked(offset)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except RemoteError as error:
                self.failure = error
                raise

    async def _checked(self, offset: int) -> AsyncGenerator[bytes, None]:
        await self._hashing_done()
        position, last = offset, b""
        async with aclosing(self._source.read_blob(self.descriptor, offset)) as chunks:
            async for chunk in chunks:
                position += len(chunk)
                if position > self.descriptor.size_bytes:
                    raise self._mismatch(f"it is longer than {self.descriptor.size_bytes} bytes")
                self._take(chunk, position)
                if position == self.descriptor.size_bytes:
                    last += chunk
                else:
                    yield chunk
                await self._hashing_done()
        self._check(position)
        if last:
            yield last

    def _check(self, size_bytes: int) -> None:
        if size_bytes != self.descriptor.size_bytes:
            raise self._mismatch(f"it has {size_bytes} bytes, not {self.descriptor.size_bytes}")
        found = self._hash.hexdigest()
        if found != self.descriptor.digest.encoded:
            raise self._mismatch(f"the bytes have the digest {self.descriptor.digest.algorithm}:{found}")

    def _take(self, chunk: bytes, end: int) -> None:
        """Hash what was not seen before; large chunks in a thread, while the chunk is sent on."""
        fresh = end - self._hashed_bytes
        if fresh <= 0:
            return
        unseen = memoryview(chunk)[len(chunk) - fresh :]
        self._hashed_bytes = end
        if fresh > _INLINE_HASH_BYTES:
            self._hashing = asyncio.get_running_loop().run_in_executor(None, self._hash.update, unseen)
        else:
            self._hash.update(unseen)
        if self._advance is not None:
            self._advance(fresh)

    async def _hashing_done(self) -> None:
        if self._hashing is not None:
            # a cancelled stream must not cancel the hashing: the next one goes on from what is hashed
            await asyncio.shield(self._hashing)
            self._hashing = None

    def _mismatch(self, reason: str) -> ContentMismatchError:
        return ContentMismatchError(self._source.description, self.descriptor.digest, reason)
