"""How the processes of an exam build stores on one and the same storage."""

import importlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from homeport.blobs.store import BlobStore
from homeport.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class StoreRecipe:
    """A function of a module and its argument: what a process needs to build a store."""

    module: str
    function: str
    argument: str

    def build(self) -> BlobStore:
        """Return the store, not yet open, as a process of its own would have it."""
        store: BlobStore = getattr(importlib.import_module(self.module), self.function)(self.argument)
        return store


NewRecipe = Callable[[], StoreRecipe]


class ClientGoneError(Exception):
    """The body's sender went away."""


def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return content that is the same in every process."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - content, not a secret


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks."""
    for chunk in chunks:
        yield chunk


async def broken_body(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks, then break."""
    for chunk in chunks:
        yield chunk
    raise ClientGoneError


async def content_of(store: BlobStore, digest: Digest) -> bytes:
    """Return the whole blob, which is there."""
    size_bytes = await store.stat(digest)
    assert size_bytes is not None
    return b"".join([chunk async for chunk in store.read(digest, 0, size_bytes)])


async def all_digests(store: BlobStore) -> list[str]:
    """Return the digests of all blobs in order."""
    return sorted([str(digest) async for digest in store.digests()])
