"""What the parts of the exam share: stores on one storage, bodies, and what it means to be unknown."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from tests.contract.store_recipe import NewRecipe, StoreRecipe, body

from homeport.blobs.store import BlobStore, UploadUnknownError
from homeport.oci.digest import Digest

OWNER = "library/nginx"
OTHER_OWNER = "library/nginx2"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MEBIBYTE = 1024 * 1024
REPOSITORY_ROOT = Path(__file__).parents[2]


class HeldBody:
    """A body that pauses after its first chunk until it is released."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.has_paused = asyncio.Event()
        self.released = asyncio.Event()
        self._first = first
        self._rest = rest

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the first chunk and, when released, the rest."""
        yield self._first
        self.has_paused.set()
        await self.released.wait()
        yield self._rest


def pieces(content: bytes, size: int) -> Iterable[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


async def upload(store: BlobStore, content: bytes, digest: Digest) -> int:
    upload_id = await store.open_upload(OWNER)
    await store.append(upload_id, OWNER, body(content), offset=0)
    return await store.commit(upload_id, OWNER, digest)


async def assert_unknown(store: BlobStore, upload_id: str, owner: str) -> None:
    unused = body(b"x")
    with pytest.raises(UploadUnknownError):
        await store.upload_status(upload_id, owner)
    with pytest.raises(UploadUnknownError):
        await store.append(upload_id, owner, unused, offset=None)
    with pytest.raises(UploadUnknownError):
        await store.commit(upload_id, owner, Digest.of(b""))
    with pytest.raises(UploadUnknownError):
        await store.cancel(upload_id, owner)
    assert await anext(unused) == b"x"


class StoreFixtures:
    """The stores of a test. A driver's class adds the fixture `new_recipe`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def recipe(self, new_recipe: NewRecipe) -> StoreRecipe:
        """Return the recipe of this test's storage, empty at first."""
        return new_recipe()

    @pytest.fixture
    async def store(self, recipe: StoreRecipe) -> AsyncIterator[BlobStore]:
        """Open a store."""
        store = recipe.build()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other_process(self, recipe: StoreRecipe, store: BlobStore) -> AsyncIterator[BlobStore]:
        """Open another store on the same storage, as another process would; it shares nothing else."""
        assert store is not None
        other = recipe.build()
        await other.open()
        yield other
        await other.close()
