"""The exam that every blob store passes; a driver's own test file only says how to build the store."""

import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.contract.blob_store_machine import BlobStoreMachine
from tests.contract.exam_blobs import BlobExam
from tests.contract.exam_fixtures import MEBIBYTE, OWNER, REPOSITORY_ROOT, pieces, upload
from tests.contract.exam_sessions import SessionExam
from tests.contract.store_recipe import NewRecipe, StoreRecipe, all_digests, body, content_of, random_bytes

from homeport.blobs.store import BlobStore
from homeport.oci.digest import Digest


class BlobStoreExam(SessionExam, BlobExam):
    """Every promise of BlobStore. A driver's class adds the fixture `new_recipe`."""

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
