"""The part of the blob stores' exam about blobs."""

import asyncio
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tests.contract.exam_fixtures import MEBIBYTE, OWNER, StoreFixtures, assert_unknown, upload
from tests.contract.store_recipe import all_digests, body, content_of, random_bytes

from homeport.blobs.store import (
    BlobDamagedError,
    BlobStore,
    BlobUnknownError,
    DigestMismatchError,
    UploadBusyError,
    UploadUnknownError,
)
from homeport.oci.digest import Digest


class BlobExam(StoreFixtures):
    """Every promise about blobs, from the commit on."""

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
