import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from tests.contract.store_recipe import all_digests, body, content_of, random_bytes
from tests.programs import require_root
from tests.unit.blobs.directory.failing_calls import CONTENT, OWNER, UNSUPPORTED
from tests.unit.blobs.directory.interruption import before_each

from homeport.blobs.directory import DirectoryStore
from homeport.blobs.store import StorageFullError, StorageUnavailableError
from homeport.oci.digest import Digest

pytestmark = pytest.mark.anyio

LATER = timedelta(hours=1)
REPOSITORY_ROOT = Path(__file__).parents[4]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    store = DirectoryStore(tmp_path / "store")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 8 MiB."""
    require_root()
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=2000", "tmpfs", volume], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount file systems here")
    yield volume
    subprocess.run(["umount", "--lazy", volume], check=True)


def files_of(store_root: Path) -> list[str]:
    return sorted(str(path.relative_to(store_root)) for path in store_root.rglob("*") if path.is_file())


async def test_full_disk_keeps_the_session_and_room_lets_it_go_on(small_volume: Path) -> None:
    content = random_bytes(5_000_000)
    store = DirectoryStore(small_volume / "store")
    await store.open()
    ballast = small_volume / "ballast"
    ballast.write_bytes(bytes(4_000_000))
    upload_id = await store.open_upload(OWNER)
    with pytest.raises(StorageFullError, match="full"):
        await store.append(upload_id, OWNER, body(content[:3_000_000], content[3_000_000:]), offset=0)
    arrived = (await store.upload_status(upload_id, OWNER)).size_bytes
    assert 3_000_000 < arrived < len(content)
    with pytest.raises(StorageFullError):
        await store.check()
    with pytest.raises(StorageFullError):
        await store.put(Digest.of(content), content)
    assert await all_digests(store) == []
    ballast.unlink()
    await store.check()
    await store.append(upload_id, OWNER, body(content[arrived:]), offset=arrived)
    assert await store.commit(upload_id, OWNER, Digest.of(content)) == len(content)
    assert await content_of(store, Digest.of(content)) == content
    assert len(files_of(small_volume)) == 1
    await store.close()


async def test_read_only_disk_serves_and_says_why_it_does_not_take(small_volume: Path) -> None:
    store = DirectoryStore(small_volume / "store")
    await store.open()
    await store.put(Digest.of(b"kept"), b"kept")
    upload_id = await store.open_upload(OWNER)
    await store.append(upload_id, OWNER, body(b"begun"), offset=0)
    await anyio.run_process(["mount", "-o", "remount,ro", small_volume])
    reopened = DirectoryStore(small_volume / "store")
    await reopened.open()
    assert await content_of(reopened, Digest.of(b"kept")) == b"kept"
    for call in (
        reopened.check(),
        reopened.open_upload(OWNER),
        reopened.put(Digest.of(b"new"), b"new"),
        reopened.append(upload_id, OWNER, body(b" more"), offset=5),
        reopened.commit(upload_id, OWNER, Digest.of(b"begun")),
        reopened.delete(Digest.of(b"kept")),
    ):
        with pytest.raises(StorageUnavailableError, match="cannot be written to"):
            await call
    await anyio.run_process(["mount", "-o", "remount,rw", small_volume])
    assert await store.commit(upload_id, OWNER, Digest.of(b"begun")) == 5
    await store.close()
    await reopened.close()


async def test_missing_volume_is_not_mistaken_for_missing_content(
    store: DirectoryStore, tmp_path: Path
) -> None:
    digest = Digest.of(b"kept")
    await store.put(digest, b"kept")
    upload_id = await store.open_upload(OWNER)
    (tmp_path / "store").rename(tmp_path / "unmounted")
    for call in (
        store.check(),
        store.stat(digest),
        anext(store.read(digest, 0, 1)),
        store.put(digest, b"kept"),
        store.delete(digest),
        store.open_upload(OWNER),
        store.upload_status(upload_id, OWNER),
        store.append(upload_id, OWNER, body(), offset=0),
        store.commit(upload_id, OWNER, digest),
        store.cancel(upload_id, OWNER),
        all_digests(store),
        store.expire_uploads(datetime.now(UTC)),
    ):
        with pytest.raises(StorageUnavailableError, match="missing"):
            await call
    (tmp_path / "unmounted").rename(tmp_path / "store")
    assert await store.stat(digest) == 4
    assert (await store.upload_status(upload_id, OWNER)).size_bytes == 0


async def test_missing_shard_is_made_again(store: DirectoryStore, tmp_path: Path) -> None:
    digest = Digest.of(b"kept")
    (tmp_path / "store" / "blobs" / "sha256" / digest.encoded[:2]).rmdir()
    assert await store.stat(digest) is None
    await store.delete(digest)
    await store.put(digest, b"kept")
    assert await content_of(store, digest) == b"kept"


async def test_push_repairs_a_damaged_blob(store: DirectoryStore) -> None:
    digest = Digest.of(b"as pushed")
    await store.put(digest, b"as pushed")
    store.local_path(digest).write_bytes(b"as ro")
    await store.put(digest, b"as pushed")
    assert await content_of(store, digest) == b"as pushed"


async def test_files_are_those_of_blobs_and_sessions(store: DirectoryStore, tmp_path: Path) -> None:
    large = random_bytes(5_000_000)
    upload_id = await store.open_upload(OWNER)
    await store.append(upload_id, OWNER, body(large), offset=0)
    session, note = files_of(tmp_path / "store")
    assert session.startswith(f"uploads/{upload_id}.")
    assert note == session + ".digest"
    await store.commit(upload_id, OWNER, Digest.of(large))
    encoded = Digest.of(large).encoded
    assert files_of(tmp_path / "store") == [f"blobs/sha256/{encoded[:2]}/{encoded}"]


async def test_expiry_removes_notes_that_lost_their_session(store: DirectoryStore, tmp_path: Path) -> None:
    upload_id = await store.open_upload(OWNER)
    await store.append(upload_id, OWNER, body(bytes(5_000_000)), offset=0)
    session, note = files_of(tmp_path / "store")
    (tmp_path / "store" / session).unlink()
    foreign = tmp_path / "store" / "uploads" / "README"
    foreign.touch()
    assert await store.expire_uploads(datetime.now(UTC) + LATER) == 0
    assert note.endswith(".digest")
    assert files_of(tmp_path / "store") == ["uploads/README"]


async def test_few_running_hashes_are_kept(store: DirectoryStore) -> None:
    first = await store.open_upload(OWNER, "sha512")
    for _ in range(1100):
        await store.open_upload(OWNER)
    await store.append(first, OWNER, body(b"content"), offset=0)
    assert await store.commit(first, OWNER, Digest.of(b"content", "sha512")) == 7


async def test_content_is_durable_before_its_name_and_the_name_before_the_answer(
    tmp_path: Path,
) -> None:
    calls: list[str] = []
    with before_each({"fsync", "rename", "unlink"}, calls.append):
        store = DirectoryStore(tmp_path / "store")
        await store.open()
        upload_id = await store.open_upload(OWNER)
        await store.append(upload_id, OWNER, body(b"content"), offset=0)
        calls.clear()
        await store.commit(upload_id, OWNER, Digest.of(b"content"))
        committed = [name for name in calls if name != "unlink"]
        calls.clear()
        await store.delete(Digest.of(b"content"))
        deleted = list(calls)
        await store.close()
    assert committed == ["fsync", "rename", "fsync"]
    assert deleted == ["unlink", "fsync"]


async def test_session_appended_to_just_before_it_would_expire_is_kept(tmp_path: Path) -> None:
    first = DirectoryStore(tmp_path / "store")
    await first.open()
    upload_id = await first.open_upload(OWNER)
    (session,) = (tmp_path / "store" / "uploads").iterdir()
    os.utime(session, (0, 0))
    with before_each({"flock"}, lambda _: os.utime(session)):
        store = DirectoryStore(tmp_path / "store")
        assert await store.expire_uploads(datetime.now(UTC) - LATER) == 0
        await store.close()
    assert (await first.upload_status(upload_id, OWNER)).size_bytes == 0
    await first.close()


@pytest.mark.parametrize(
    ("scenario", "error", "kept_bytes"),
    [
        ("full", "StorageFullError", 0),
        ("unsynced", "StorageUnavailableError", None),
        ("unrenamed", "StorageUnavailableError", len(CONTENT)),
    ],
)
async def test_failing_system_call_keeps_or_ends_the_session_and_makes_no_blob(
    store: DirectoryStore, tmp_path: Path, scenario: str, error: str, kept_bytes: int | None
) -> None:
    done = await anyio.run_process(
        [sys.executable, "-m", "tests.unit.blobs.directory.failing_calls", scenario, tmp_path / "store"],
        cwd=REPOSITORY_ROOT,
        check=False,
    )
    if done.returncode == UNSUPPORTED:
        pytest.skip("the system cannot let calls fail")
    outcome = json.loads(done.stdout)
    upload_id = outcome.pop("upload_id")
    assert outcome == {"error": error, "size_bytes": kept_bytes, "blobs": 0}
    if kept_bytes is not None:
        await store.append(upload_id, OWNER, body(CONTENT[kept_bytes:]), offset=kept_bytes)
        assert await store.commit(upload_id, OWNER, Digest.of(CONTENT)) == len(CONTENT)
