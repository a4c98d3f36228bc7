"""The directory store: `blobs/<algorithm>/<two digits>/<encoded>` and `uploads/<session>`."""

import hashlib
import os
import re
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from homeport.blobs.directory.files import DIRECTORY_MODE, make_directory, storage_errors, sync_directory
from homeport.blobs.directory.intake import Intake, Threads
from homeport.blobs.directory.session import (
    NOTE_SUFFIX,
    RunningHash,
    UploadSession,
    create_session,
    forget_note,
    remove_session,
    status_of,
)
from homeport.blobs.store import (
    BlobDamagedError,
    BlobUnknownError,
    DigestMismatchError,
    OffsetMismatchError,
    UploadBusyError,
    UploadStatus,
    UploadUnknownError,
)
from homeport.oci.digest import ALGORITHMS, Digest, DigestInvalidError, parse_digest

_SHARDS = frozenset(f"{number:02x}" for number in range(256))
_THREADS = 16
_READ_BYTES = 1024 * 1024
_PROBE_BYTES = 4096
_MAX_RUNNING_HASHES = 1000
_NO_OWNER = ""

_UPLOAD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SESSION_NAME = re.compile(rf"{_UPLOAD_ID.pattern}\.[0-9a-f]{{32}}")
_SHARD_NAME = re.compile(r"[0-9a-f]{2}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DirectoryStore:
    """A BlobStore in the root directory, which is made when it is missing; its parent must exist.

    Blobs and sessions are on one file system, which renames atomically and locks (`flock`). An instance
    belongs to one event loop.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs"
        self._uploads = root / "uploads"
        self._threads = Threads(root, _THREADS)
        self._running: OrderedDict[Path, RunningHash] = OrderedDict()
        self._boot_id = _boot_id()

    async def open(self) -> None:
        """Make the directories; see BlobStore."""
        await self._threads.run(self._make_directories)

    async def close(self) -> None:
        """Wait for the threads; see BlobStore."""
        await self._threads.close()

    async def check(self) -> None:
        """Write a file and remove it; see BlobStore."""
        await self._threads.run(self._write_probe)

    async def stat(self, digest: Digest) -> int | None:
        """Return the size of the blob's file; see BlobStore."""
        with storage_errors(self._root):
            try:
                return self._blob_path(digest).stat().st_size
            except FileNotFoundError:
                self._require(digest.algorithm)
                return None

    async def read(self, digest: Digest, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes of the blob's file; see BlobStore."""
        with storage_errors(self._root):
            try:
                descriptor = os.open(self._blob_path(digest), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._require(digest.algorithm)
                raise BlobUnknownError(digest) from None
        try:
            size_bytes = os.fstat(descriptor).st_size
            if end > size_bytes:
                raise BlobDamagedError(digest, size_bytes)
            while start < end:
                count = min(_READ_BYTES, end - start)
                chunk = await self._threads.run(os.pread, descriptor, count, start)
                if not chunk:
                    raise BlobDamagedError(digest, start)
                start += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    def local_path(self, digest: Digest) -> Path:
        """Return the path of the blob's file; see BlobStore."""
        return self._blob_path(digest)

    async def put(self, digest: Digest, content: bytes) -> None:
        """Write a file of its own and rename it; see BlobStore."""
        await self._threads.run(self._put, digest, content)

    async def delete(self, digest: Digest) -> None:
        """Remove the blob's file; see BlobStore."""
        await self._threads.run(self._delete, digest)

    async def digests(self) -> AsyncIterator[Digest]:
        """Yield what the names of the blobs' files spell; see BlobStore."""
        for algorithm in ALGORITHMS:
            for shard in await self._threads.run(os.listdir, self._blobs / algorithm):
                for digest in await self._threads.run(self._list_shard, algorithm, shard):
                    yield digest

    async def strays(self) -> AsyncIterator[str]:
        """Yield the paths, from the root, of entries that no blob has; see BlobStore."""
        for path in await self._threads.run(self._list_misplaced):
            yield str(path.relative_to(self._root))
        for algorithm in ALGORITHMS:
            for number in range(_SHARDS):
                shard = self._blobs / algorithm / f"{number:02x}"
                for path in await self._threads.run(self._list_strays, algorithm, shard):
                    yield str(path.relative_to(self._root))

    async def open_upload(self, owner: str, algorithm: str | None = None) -> str:
        """Make an empty file; see BlobStore."""
        upload_id = str(uuid.uuid4())
        path = self._session_path(upload_id, owner)
        with storage_errors(self._root):
            running = create_session(path, algorithm or ALGORITHMS[0])
        self._keep_running(path, running)
        return upload_id

    async def upload_status(self, upload_id: str, owner: str) -> UploadStatus:
        """Return the size of the session's file; see BlobStore."""
        with storage_errors(self._root):
            try:
                return status_of(self._session_path(upload_id, owner).stat())
            except FileNotFoundError:
                raise UploadUnknownError from None

    async def uploads(self) -> AsyncIterator[UploadStatus]:
        """Yield the status of every session's file; see BlobStore."""
        for name in await self._threads.run(os.listdir, self._uploads):
            if _SESSION_NAME.fullmatch(name) is not None:
                with storage_errors(self._root):
                    try:
                        status = status_of((self._uploads / name).stat())
                    except FileNotFoundError:
                        continue
                yield status

    async def append(
        self, upload_id: str, owner: str, chunks: AsyncIterator[bytes], *, offset: int | None
    ) -> UploadStatus:
        """Append to the session's file and go on with its hash; see BlobStore."""
        path = self._session_path(upload_id, owner)
        with storage_errors(self._root):
            session = UploadSession(path, self._running.get(path))
        with closing(session):
            if offset is not None and offset != session.size_bytes:
                raise OffsetMismatchError(session.size_bytes)
            try:
                await Intake(session, self._threads).take(chunks)
            finally:
                self._keep_running(path, session.running)
            session.note_digest(self._boot_id)
            return session.status()

    async def commit(self, upload_id: str, owner: str, digest: Digest) -> int:
        """Verify, sync and rename the session's file; see BlobStore."""
        path = self._session_path(upload_id, owner)
        size_bytes = await self._threads.run(self._commit, path, digest, self._running.get(path))
        self._running.pop(path, None)
        return size_bytes

    async def cancel(self, upload_id: str, owner: str) -> None:
        """Remove the session's file; see BlobStore."""
        path = self._session_path(upload_id, owner)
        self._running.pop(path, None)
        await self._threads.run(remove_session, path)

    async def expire_uploads(self, older_than: datetime) -> int:
        """Remove the files of old sessions; see BlobStore."""
        return await self._threads.run(self._expire_uploads, older_than)

    def _make_directories(self) -> None:
        if not self._root.is_dir():
            make_directory(self._root)
        for directory in (self._uploads, self._blobs):
            make_directory(directory)
        for algorithm in ALGORITHMS:
            parent = self._blobs / algorithm
            make_directory(parent)
            # All of them now and synced once, so that a commit need not make and sync its own.
            for name in _SHARDS.difference(path.name for path in parent.iterdir()):
                (parent / name).mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            sync_directory(parent)

    def _write_probe(self) -> None:
        path = self._session_path(str(uuid.uuid4()), _NO_OWNER)
        create_session(path, ALGORITHMS[0])
        try:
            path.write_bytes(bytes(_PROBE_BYTES))
        finally:
            path.unlink()

    def _put(self, digest: Digest, content: bytes) -> None:
        actual = Digest.of(content, digest.algorithm)
        if actual != digest:
            raise DigestMismatchError(digest, actual)
        path = self._session_path(str(uuid.uuid4()), _NO_OWNER)
        running = create_session(path, digest.algorithm)
        try:
            with closing(UploadSession(path, running)) as session:
                session.write([content])
            self._commit(path, digest, running)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _delete(self, digest: Digest) -> None:
        path = self._blob_path(digest)
        try:
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
        except FileNotFoundError:
            self._require(digest.algorithm)

    def _list_shard(self, algorithm: str, shard: str) -> list[Digest]:
        digests = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in (self._blobs / algorithm / shard).iterdir():
                with suppress(DigestInvalidError):
                    digest = parse_digest(f"{algorithm}:{path.name}")
                    if self._blob_path(digest) == path:
                        digests.append(digest)
        return digests

    def _list_misplaced(self) -> list[Path]:
        """Return what lies above the shards and leads to none."""
        misplaced = [path for path in self._blobs.iterdir() if path.name not in ALGORITHMS]
        for algorithm in ALGORITHMS:
            for path in (self._blobs / algorithm).iterdir():
                if _SHARD_NAME.fullmatch(path.name) is None or not path.is_dir():
                    misplaced.append(path)
        return misplaced

    def _list_strays(self, algorithm: str, shard: Path) -> list[Path]:
        blobs = {self._blob_path(digest) for digest in self._list_shard(algorithm, shard.name)}
        try:
            return [path for path in shard.iterdir() if path not in blobs or not path.is_file()]
        except FileNotFoundError:
            return []

    def _commit(self, path: Path, digest: Digest, running: RunningHash | None) -> int:
        with closing(UploadSession(path, running)) as session:
            actual = session.digest(digest, self._boot_id)
            if actual != digest:
                with suppress(UploadUnknownError):
                    remove_session(path)
                raise DigestMismatchError(digest, actual)
            try:
                session.sync()
            except OSError:
                # The system may have dropped what it could not write: the file is not to be trusted again.
                with suppress(UploadUnknownError):
                    remove_session(path)
                raise
            forget_note(path)
            self._publish(path, digest)
            return session.size_bytes

    def _publish(self, path: Path, digest: Digest) -> None:
        target = self._blob_path(digest)
        try:
            path.rename(target)
        except FileNotFoundError:
            if not path.exists():
                raise UploadUnknownError from None
            make_directory(target.parent)
            path.rename(target)
        sync_directory(target.parent)

    def _expire_uploads(self, older_than: datetime) -> int:
        count = 0
        for path in self._uploads.iterdir():
            with suppress(FileNotFoundError, UploadUnknownError, UploadBusyError):
                if status_of(path.stat()).changed_at >= older_than:
                    continue
                if _SESSION_NAME.fullmatch(path.name) is not None:
                    with closing(UploadSession(path, None)) as session:
                        if session.status().changed_at < older_than:
                            remove_session(path)
                            count += 1
                elif path.suffix == NOTE_SUFFIX and not path.with_suffix("").exists():
                    path.unlink()
        return count

    def _require(self, algorithm: str) -> None:
        """Raise FileNotFoundError when the store itself is not there, as when its volume is not mounted."""
        (self._blobs / algorithm).stat()

    def _blob_path(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.encoded[:2] / digest.encoded

    def _session_path(self, upload_id: str, owner: str) -> Path:
        if _UPLOAD_ID.fullmatch(upload_id) is None:
            raise UploadUnknownError
        key = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()[:32]
        return self._uploads / f"{upload_id}.{key}"

    def _keep_running(self, path: Path, running: RunningHash | None) -> None:
        self._running.pop(path, None)
        if running is not None:
            self._running[path] = running
            if len(self._running) > _MAX_RUNNING_HASHES:
                self._running.popitem(last=False)


def _boot_id() -> str:
    """Return what names the running kernel, or nothing where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
