"""The exam that every blob store passes; a driver's own test file only says how to build the store."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from tests.contract.blob_store_machine import BlobStoreMachine
from tests.contract.store_recipe import (
    ClientGoneError,
    NewRecipe,
    StoreRecipe,
    all_digests,
    body,
    broken_body,
    content_of,
    random_bytes,
)

from homeport.blobs.store import (
    BlobDamagedError,
    BlobStore,
    BlobUnknownError,
    DigestMismatchError,
    OffsetMismatchError,
    UploadBusyError,
    UploadUnknownError,
)
from homeport.oci.digest import Digest, DigestInvalidError

OWNER = "library/nginx"
OTHER_OWNER = "library/nginx2"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MEBIBYTE = 1024 * 1024
REPOSITORY_ROOT = Path(__file__).parents[2]

FORGED_IDS = (
    "",
    ".",
    "..",
    "/",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "\0",
    "a" * 5000,
    "6F9619FF-8B86-4011-B42D-00C04FC964FF",
    "6f9619ff-8b86-4011-b42d-00c04fc964ff\n",
    "6f9619ff-8b86-4011-b42d-00c04fc964ff/..",
    "6f9619ff-8b86-1011-b42d-00c04fc964ff",
    "6f9619ff8b864011b42d00c04fc964ff",
    "{6f9619ff-8b86-4011-b42d-00c04fc964ff}",
    "६f9619ff-8b86-4011-b42d-00c04fc964ff",
    "6f9619ff-8b86-4011-b42d-00c04fc964ff",
)


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


class BlobStoreExam:
    """Every promise of BlobStore. A driver's class adds the fixture `new_recipe`."""

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

    async def test_open_may_be_repeated(self, recipe: StoreRecipe, store: BlobStore) -> None:
        await upload(store, b"kept", Digest.of(b"kept"))
        again = recipe.build()
        await again.open()
        await again.open()
        assert await content_of(again, Digest.of(b"kept")) == b"kept"
        await again.close()

    async def test_check_passes_and_leaves_nothing(self, store: BlobStore) -> None:
        await store.check()
        assert await store.expire_uploads(datetime.now(UTC) + timedelta(hours=1)) == 0
        assert await all_digests(store) == []

    # Sessions

    async def test_upload_ids_are_uuids_and_differ(self, store: BlobStore) -> None:
        ids = {await store.open_upload(OWNER) for _ in range(20)}
        assert len(ids) == 20
        assert [text for text in ids if UUID4.fullmatch(text) is None] == []

    async def test_open_upload_refuses_an_unknown_algorithm(self, store: BlobStore) -> None:
        with pytest.raises(DigestInvalidError):
            await store.open_upload(OWNER, "md5")
        assert await store.expire_uploads(datetime.now(UTC) + timedelta(hours=1)) == 0

    async def test_new_session_is_empty_and_of_now(self, store: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        status = await store.upload_status(upload_id, OWNER)
        assert status.size_bytes == 0
        assert abs(datetime.now(UTC) - status.changed_at) < timedelta(minutes=1)

    async def test_append_returns_the_status_so_far(self, store: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        first = await store.append(upload_id, OWNER, body(b"abc", b"", b"de"), offset=0)
        second = await store.append(upload_id, OWNER, body(b"fg"), offset=None)
        third = await store.append(upload_id, OWNER, body(b"h"), offset=7)
        assert [first.size_bytes, second.size_bytes, third.size_bytes] == [5, 7, 8]
        assert await store.upload_status(upload_id, OWNER) == third
        assert await store.commit(upload_id, OWNER, Digest.of(b"abcdefgh")) == 8
        assert await content_of(store, Digest.of(b"abcdefgh")) == b"abcdefgh"

    async def test_append_of_nothing_changes_nothing(self, store: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        await store.append(upload_id, OWNER, body(b"abc"), offset=None)
        assert (await store.append(upload_id, OWNER, body(), offset=None)).size_bytes == 3
        assert (await store.append(upload_id, OWNER, body(b"", b""), offset=3)).size_bytes == 3
        assert await store.commit(upload_id, OWNER, Digest.of(b"abc")) == 3

    @pytest.mark.parametrize("offset", [0, 2, 4, 10**18])
    async def test_append_at_another_offset_leaves_body_and_session_alone(
        self, store: BlobStore, offset: int
    ) -> None:
        upload_id = await store.open_upload(OWNER)
        await store.append(upload_id, OWNER, body(b"abc"), offset=0)
        unused = body(b"xyz")
        with pytest.raises(OffsetMismatchError) as caught:
            await store.append(upload_id, OWNER, unused, offset=offset)
        assert caught.value.size_bytes == 3
        assert await anext(unused) == b"xyz"
        assert await store.commit(upload_id, OWNER, Digest.of(b"abc")) == 3

    @pytest.mark.parametrize("size", [10, 300_000, 3 * MEBIBYTE + 17])
    async def test_broken_body_keeps_what_arrived(self, store: BlobStore, size: int) -> None:
        content = random_bytes(size)
        upload_id = await store.open_upload(OWNER)
        with pytest.raises(ClientGoneError):
            await store.append(upload_id, OWNER, broken_body(*pieces(content, 100_000)), offset=0)
        assert (await store.upload_status(upload_id, OWNER)).size_bytes == size
        await store.append(upload_id, OWNER, body(b"rest"), offset=size)
        assert await store.commit(upload_id, OWNER, Digest.of(content + b"rest")) == size + 4
        assert await content_of(store, Digest.of(content + b"rest")) == content + b"rest"

    async def test_broken_body_is_resumed_by_another_process(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        content = random_bytes(2 * MEBIBYTE, 1)
        upload_id = await store.open_upload(OWNER)
        with pytest.raises(ClientGoneError):
            await store.append(upload_id, OWNER, broken_body(content[:MEBIBYTE]), offset=0)
        arrived = (await other_process.upload_status(upload_id, OWNER)).size_bytes
        assert arrived == MEBIBYTE
        await other_process.append(upload_id, OWNER, body(content[arrived:]), offset=arrived)
        assert await store.commit(upload_id, OWNER, Digest.of(content)) == len(content)

    @pytest.mark.parametrize("size", [10, 2 * MEBIBYTE])
    async def test_cancelled_caller_keeps_what_arrived(self, store: BlobStore, size: int) -> None:
        content = random_bytes(size)
        held = HeldBody(content, b"never")
        upload_id = await store.open_upload(OWNER)
        task = asyncio.create_task(store.append(upload_id, OWNER, held.chunks(), offset=0))
        await held.has_paused.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await store.upload_status(upload_id, OWNER)).size_bytes == size
        assert await store.commit(upload_id, OWNER, Digest.of(content)) == size

    async def test_cancel_at_any_moment_leaves_a_prefix(self, store: BlobStore) -> None:
        content = random_bytes(4 * MEBIBYTE, 2)
        for delay_ms in (0, 0.2, 0.5, 1, 2, 3, 5):
            upload_id = await store.open_upload(OWNER)
            with anyio.move_on_after(delay_ms / 1000):
                await store.append(upload_id, OWNER, body(*pieces(content, 65536)), offset=0)
            arrived = (await store.upload_status(upload_id, OWNER)).size_bytes
            await store.append(upload_id, OWNER, body(content[arrived:]), offset=arrived)
            assert await store.commit(upload_id, OWNER, Digest.of(content)) == len(content)

    async def test_one_request_at_a_time_uses_a_session(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        held = HeldBody(b"first ", b"second")
        digest = Digest.of(b"first second")
        upload_id = await store.open_upload(OWNER)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(store.append(upload_id, OWNER, held.chunks(), offset=0))
            await held.has_paused.wait()
            for any_store in (store, other_process):
                unused = body(b"x")
                with pytest.raises(UploadBusyError):
                    await any_store.append(upload_id, OWNER, unused, offset=None)
                assert await anext(unused) == b"x"
                with pytest.raises(UploadBusyError):
                    await any_store.commit(upload_id, OWNER, digest)
                assert (await any_store.upload_status(upload_id, OWNER)).size_bytes <= 6
                assert await any_store.expire_uploads(datetime.now(UTC) + timedelta(hours=1)) == 0
            held.released.set()
        assert task.result().size_bytes == 12
        assert await other_process.commit(upload_id, OWNER, digest) == 12

    async def test_session_moves_between_processes(self, store: BlobStore, other_process: BlobStore) -> None:
        content = random_bytes(1_000_003, 3)
        upload_id = await store.open_upload(OWNER)
        for number, piece in enumerate(pieces(content, 100_000)):
            turn = (store, other_process)[number % 2]
            await turn.append(upload_id, OWNER, body(piece), offset=number * 100_000)
        assert await store.commit(upload_id, OWNER, Digest.of(content)) == len(content)
        assert await content_of(other_process, Digest.of(content)) == content

    @pytest.mark.parametrize("size", [0, 1, 100_000, 9 * MEBIBYTE])
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    async def test_another_process_commits(
        self, store: BlobStore, other_process: BlobStore, size: int, algorithm: str
    ) -> None:
        content = random_bytes(size)
        upload_id = await store.open_upload(OWNER, algorithm)
        await store.append(upload_id, OWNER, body(content), offset=0)
        digest = Digest.of(content, algorithm)
        assert await other_process.commit(upload_id, OWNER, digest) == size
        assert await content_of(store, digest) == content
        await assert_unknown(store, upload_id, OWNER)

    async def test_session_is_unknown_to_other_owners(self, store: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        await store.append(upload_id, OWNER, body(b"mine"), offset=0)
        for owner in (OTHER_OWNER, "library", "", OWNER.upper(), OWNER + "/", "../" + OWNER):
            await assert_unknown(store, upload_id, owner)
        assert await store.commit(upload_id, OWNER, Digest.of(b"mine")) == 4

    @pytest.mark.parametrize("upload_id", FORGED_IDS)
    async def test_forged_id_is_unknown(self, store: BlobStore, upload_id: str) -> None:
        await assert_unknown(store, upload_id, OWNER)

    def test_no_text_is_an_id_or_a_path(self, recipe: StoreRecipe) -> None:
        @settings(max_examples=50)
        @given(st.text(), st.text() | st.from_regex(r"(\.\./|/|\0|~)*[a-z]*", fullmatch=True))
        def ask(upload_id: str, owner: str) -> None:
            async def asked() -> None:
                store = recipe.build()
                await store.open()
                try:
                    await assert_unknown(store, upload_id, owner)
                    own = await store.open_upload(owner)
                    assert (await store.append(own, owner, body(b"x"), offset=0)).size_bytes == 1
                    await store.cancel(own, owner)
                finally:
                    await store.close()

            asyncio.run(asked())

        ask()

    async def test_cancelled_session_is_gone(self, store: BlobStore, other_process: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        await store.append(upload_id, OWNER, body(b"abc"), offset=0)
        await other_process.cancel(upload_id, OWNER)
        await assert_unknown(store, upload_id, OWNER)
        assert await store.stat(Digest.of(b"abc")) is None

    async def test_cancel_ends_a_running_append(self, store: BlobStore, other_process: BlobStore) -> None:
        held = HeldBody(b"first ", b"second")
        upload_id = await store.open_upload(OWNER)
        task = asyncio.create_task(store.append(upload_id, OWNER, held.chunks(), offset=0))
        await held.has_paused.wait()
        await other_process.cancel(upload_id, OWNER)
        held.released.set()
        with pytest.raises(UploadUnknownError):
            await task
        await assert_unknown(store, upload_id, OWNER)

    async def test_old_sessions_expire(self, store: BlobStore, other_process: BlobStore) -> None:
        old = [await store.open_upload(OWNER) for _ in range(3)]
        resumed = await store.open_upload(OWNER)
        await store.append(old[0], OWNER, body(b"old"), offset=0)
        await anyio.sleep(0.1)
        moment = datetime.now(UTC)
        await anyio.sleep(0.1)
        await store.append(resumed, OWNER, body(b"new"), offset=0)
        young = await store.open_upload(OWNER)
        assert await other_process.expire_uploads(moment) == 3
        assert await other_process.expire_uploads(moment) == 0
        for upload_id in old:
            await assert_unknown(store, upload_id, OWNER)
        assert (await store.upload_status(young, OWNER)).size_bytes == 0
        assert await store.commit(resumed, OWNER, Digest.of(b"new")) == 3

    async def test_uploads_lists_the_sessions_of_all_owners(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        first, second, third = [await store.open_upload(owner) for owner in (OWNER, OTHER_OWNER, OWNER)]
        await store.append(second, OTHER_OWNER, body(b"abc"), offset=0)
        await store.append(third, OWNER, body(bytes(5 * MEBIBYTE)), offset=0)
        sizes_bytes = [status.size_bytes async for status in other_process.uploads()]
        assert sorted(sizes_bytes) == [0, 3, 5 * MEBIBYTE]
        await store.cancel(first, OWNER)
        await store.cancel(third, OWNER)
        await store.commit(second, OTHER_OWNER, Digest.of(b"abc"))
        assert [status async for status in other_process.uploads()] == []
        assert [name async for name in store.strays()] == []

    # Blobs

    @pytest.mark.parametrize("content", [b"", b"x", bytes(1024)])
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("hint", [None, "sha256", "sha512"])
    async def test_commit_makes_a_blob_and_ends_the_session(
        self, store: BlobStore, content: bytes, algorithm: str, hint: str | None
    ) -> None:
        digest = Digest.of(content, algorithm)
        upload_id = await store.open_upload(OWNER, hint)
        await store.append(upload_id, OWNER, body(content), offset=0)
        assert await store.stat(digest) is None
        assert await store.commit(upload_id, OWNER, digest) == len(content)
        assert await store.stat(digest) == len(content)
        assert await content_of(store, digest) == content
        assert await all_digests(store) == [str(digest)]
        await assert_unknown(store, upload_id, OWNER)

    async def test_commit_of_an_untouched_session_is_the_empty_blob(self, store: BlobStore) -> None:
        upload_id = await store.open_upload(OWNER)
        assert await store.commit(upload_id, OWNER, Digest.of(b"")) == 0
        assert await content_of(store, Digest.of(b"")) == b""

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("size", [3, 6 * MEBIBYTE])
    async def test_commit_of_another_digest_drops_the_session(
        self, store: BlobStore, other_process: BlobStore, algorithm: str, size: int
    ) -> None:
        content = random_bytes(size, 4)
        wrong = Digest.of(b"another", algorithm)
        for any_store in (store, other_process):
            upload_id = await store.open_upload(OWNER)
            await store.append(upload_id, OWNER, body(content), offset=0)
            with pytest.raises(DigestMismatchError) as caught:
                await any_store.commit(upload_id, OWNER, wrong)
            assert (caught.value.expected, caught.value.actual) == (wrong, Digest.of(content, algorithm))
            await assert_unknown(store, upload_id, OWNER)
        assert await all_digests(store) == []
        assert await store.stat(wrong) is None

    async def test_wrong_commit_leaves_the_blob_alone(self, store: BlobStore) -> None:
        digest = Digest.of(b"right")
        await upload(store, b"right", digest)
        with pytest.raises(DigestMismatchError):
            await upload(store, b"wrong", digest)
        assert await content_of(store, digest) == b"right"

    async def test_commit_may_be_repeated_by_other_sessions(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        digest = Digest.of(b"same")
        assert [await upload(any_store, b"same", digest) for any_store in (store, other_process, store)] == [
            4
        ] * 3
        assert await all_digests(store) == [str(digest)]

    @pytest.mark.parametrize("size", [4096, 2 * MEBIBYTE])
    async def test_parallel_commits_of_one_digest_all_succeed(
        self, store: BlobStore, other_process: BlobStore, size: int
    ) -> None:
        content = random_bytes(size)
        digest = Digest.of(content)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(upload(any_store, content, digest))
                for any_store in (store, other_process)
                for _ in range(6)
            ]
        assert [task.result() for task in tasks] == [size] * 12
        assert await content_of(store, digest) == content

    async def test_parallel_commits_of_one_session_succeed_once(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        content = random_bytes(MEBIBYTE, 5)
        digest = Digest.of(content)
        for _ in range(10):
            upload_id = await store.open_upload(OWNER)
            await store.append(upload_id, OWNER, body(content), offset=0)
            results = await asyncio.gather(
                *(any_store.commit(upload_id, OWNER, digest) for any_store in (store, other_process) * 2),
                return_exceptions=True,
            )
            assert [result for result in results if isinstance(result, int)] == [MEBIBYTE]
            errors = [result for result in results if isinstance(result, BaseException)]
            assert all(isinstance(error, UploadBusyError | UploadUnknownError) for error in errors)
            await store.delete(digest)

    async def test_parallel_append_and_commit_never_mix(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        digest = Digest.of(b"agreed")
        for _ in range(20):
            upload_id = await store.open_upload(OWNER)
            await store.append(upload_id, OWNER, body(b"agreed"), offset=0)
            await asyncio.gather(
                store.commit(upload_id, OWNER, digest),
                other_process.append(upload_id, OWNER, body(b" and more"), offset=None),
                return_exceptions=True,
            )
            if await store.stat(digest) is not None:
                assert await content_of(store, digest) == b"agreed"
                await store.delete(digest)

    async def test_put_makes_a_blob_and_may_be_repeated(self, store: BlobStore) -> None:
        for content in (b"", b"small", bytes(100_000)):
            for digest in (Digest.of(content), Digest.of(content, "sha512")):
                await store.put(digest, content)
                await store.put(digest, content)
                assert await content_of(store, digest) == content
        assert len(await all_digests(store)) == 6
        assert await store.expire_uploads(datetime.now(UTC) + timedelta(hours=1)) == 0

    async def test_put_refuses_another_digest(self, store: BlobStore) -> None:
        with pytest.raises(DigestMismatchError):
            await store.put(Digest.of(b"a"), b"b")
        assert await all_digests(store) == []

    async def test_delete_removes_and_may_be_repeated(
        self, store: BlobStore, other_process: BlobStore
    ) -> None:
        digest, kept = Digest.of(b"gone"), Digest.of(b"kept")
        await store.delete(digest)
        await upload(store, b"gone", digest)
        await upload(store, b"kept", kept)
        await other_process.delete(digest)
        await store.delete(digest)
        assert await store.stat(digest) is None
        assert await all_digests(store) == [str(kept)]
        await upload(store, b"gone", digest)
        assert await content_of(store, digest) == b"gone"

    async def test_digests_lists_each_blob_once(self, store: BlobStore) -> None:
        digests = [
            Digest.of(b"%d" % number, "sha512" if number % 5 == 0 else "sha256") for number in range(40)
        ]
        for number, digest in enumerate(digests):
            await store.put(digest, b"%d" % number)
        assert await all_digests(store) == sorted(map(str, digests))

    async def test_digests_may_be_left_early(self, store: BlobStore) -> None:
        await store.put(Digest.of(b"1"), b"1")
        await store.put(Digest.of(b"2"), b"2")
        async for digest in store.digests():
            assert digest in {Digest.of(b"1"), Digest.of(b"2")}
            break
        await store.delete(Digest.of(b"1"))

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (0, 0),
            (0, 1),
            (5, 5),
            (1, 3_000_000),
            (2_999_999, 3_000_000),
            (3_000_000, 3_000_000),
            (0, 3_000_000),
            (MEBIBYTE - 1, MEBIBYTE + 1),
            (1_234_567, 2_345_678),
        ],
    )
    async def test_read_yields_exactly_the_range_in_bounded_chunks(
        self, store: BlobStore, start: int, end: int
    ) -> None:
        content = random_bytes(3_000_000, 6)
        digest = Digest.of(content)
        await upload(store, content, digest)
        chunks = [chunk async for chunk in store.read(digest, start, end)]
        assert b"".join(chunks) == content[start:end]
        assert all(0 < len(chunk) <= MEBIBYTE for chunk in chunks)

    async def test_read_of_absent_content_fails_at_once(self, store: BlobStore) -> None:
        with pytest.raises(BlobUnknownError):
            await anext(store.read(Digest.of(b"absent"), 0, 1))

    async def test_read_beyond_the_end_yields_nothing(self, store: BlobStore) -> None:
        digest = Digest.of(b"short")
        await upload(store, b"short", digest)
        with pytest.raises(BlobDamagedError) as caught:
            await anext(store.read(digest, 0, 6))
        assert caught.value.size_bytes == 5

    async def test_read_goes_on_when_the_blob_is_deleted(self, store: BlobStore) -> None:
        content = random_bytes(3 * MEBIBYTE, 7)
        digest = Digest.of(content)
        await upload(store, content, digest)
        chunks = []
        async for chunk in store.read(digest, 0, len(content)):
            chunks.append(chunk)
            await store.delete(digest)
        assert b"".join(chunks) == content

    async def test_read_may_be_left_early(self, store: BlobStore) -> None:
        content = bytes(3 * MEBIBYTE)
        await upload(store, content, Digest.of(content))
        reading = store.read(Digest.of(content), 0, len(content))
        assert len(await anext(reading)) > 0
        await reading.aclose()

    async def test_local_path_leads_to_the_content_or_nowhere(self, store: BlobStore) -> None:
        digest = Digest.of(b"on disk")
        await upload(store, b"on disk", digest)
        path = store.local_path(digest)
        if path is not None:
            assert await anyio.Path(path).read_bytes() == b"on disk"
            await store.delete(digest)
            assert not await anyio.Path(path).exists()

    # Size

    async def test_large_upload_needs_little_memory(self, store: BlobStore, other_process: BlobStore) -> None:
        hasher = hashlib.sha256()

        async def chunks() -> AsyncIterator[bytes]:
            for number in range(168):
                chunk = number.to_bytes(4) * 100_000
                hasher.update(chunk)
                yield chunk

        upload_id = await store.open_upload(OWNER)
        tracemalloc.start()
        try:
            status = await store.append(upload_id, OWNER, chunks(), offset=0)
            digest = Digest("sha256", hasher.hexdigest())
            assert await other_process.commit(upload_id, OWNER, digest) == status.size_bytes
            read_bytes = 0
            async for chunk in store.read(digest, 0, status.size_bytes):
                read_bytes += len(chunk)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert read_bytes == status.size_bytes == 168 * 400_000
        assert peak_bytes < 8 * MEBIBYTE

    async def test_crumbs_are_taken_in_with_little_memory(self, store: BlobStore) -> None:
        content = random_bytes(100_000, 8)
        upload_id = await store.open_upload(OWNER)
        tracemalloc.start()
        try:
            await store.append(upload_id, OWNER, body(*pieces(content, 7)), offset=0)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak_bytes < 4 * MEBIBYTE
        assert await store.commit(upload_id, OWNER, Digest.of(content)) == len(content)

    # Any order of calls; any moment of death

    def test_any_order_of_calls_agrees_with_the_model(self, new_recipe: NewRecipe) -> None:
        run_state_machine_as_test(
            lambda: BlobStoreMachine(new_recipe()),  # type: ignore[arg-type]
            settings=settings(max_examples=25, stateful_step_count=30, deadline=None),
        )

    @pytest.mark.parametrize("mode", ["steps", "moments"])
    def test_process_killed_leaves_whole_blobs_and_resumable_sessions(
        self, recipe: StoreRecipe, mode: str
    ) -> None:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.contract.kill_store",
                recipe.module,
                recipe.function,
                recipe.argument,
                mode,
            ],
            cwd=REPOSITORY_ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["kills"] >= 20
        assert report["faults"] == []
