"""The part of the blob stores' exam about upload sessions."""

import asyncio
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.exam_fixtures import (
    MEBIBYTE,
    OTHER_OWNER,
    OWNER,
    UUID4,
    HeldBody,
    StoreFixtures,
    assert_unknown,
    pieces,
)
from tests.contract.store_recipe import (
    ClientGoneError,
    StoreRecipe,
    body,
    broken_body,
    content_of,
    random_bytes,
)

from homeport.blobs.store import BlobStore, OffsetMismatchError, UploadBusyError, UploadUnknownError
from homeport.oci.digest import Digest, DigestInvalidError

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


class SessionExam(StoreFixtures):
    """Every promise about sessions, up to their commit."""

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
