"""The directory store: each blob and each upload session is a file."""

import os
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from homeport.blobs.directory.files import make_directory, storage_errors, sync_directory
from homeport.blobs.directory.intake import Intake, Threads
from homeport.blobs.directory.layout import Layout
from homeport.blobs.directory.session import (
    RunningHash,
    UploadSession,
    create_session,
    forget_note,
    raise_unknown,
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
from homeport.oci.digest import ALGORITHMS, Digest

_THREADS = 16
_READ_BYTES = 1024 * 1024
_PROBE_BYTES = 4096
_MAX_RUNNING_HASHES = 1000
_NO_OWNER = ""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DirectoryStore:
    """A BlobStore in the root directory, which is made when it is missing; its parent must exist.

    Blobs and sessions are on one file system, which renames atomically and locks (`flock`). An instance
    belongs to one event loop.
    """

    def __init__(self, root: Path) -> None:
        self._layout = Layout(root)
        self._threads = Threads(root, _THREADS)
        self._running: OrderedDict[Path, RunningHash] = OrderedDict()
        self._boot_id = _boot_id()

    async def open(self) -> None:
        """Make the directories; see BlobStore."""
        await self._threads.run(self._layout.make_directories)

    async def close(self) -> None:
        """Wait for the threads; see BlobStore."""
        await self._threads.close()

    async def check(self) -> None:
        """Write a file and remove it; see BlobStore."""
        await self._threads.run(self._write_probe)

    async def stat(self, digest: Digest) -> int | None:
        """Return the size of the blob's file; see BlobStore."""
        with storage_errors(self._layout.root):
            try:
                return self._layout.blob(digest).stat().st_size
            except FileNotFoundError:
                self._layout.require_blobs()
                return None

    async def read(self, digest: Digest, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes of the blob's file; see BlobStore."""
        with storage_errors(self._layout.root):
            try:
                descriptor = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._layout.require_blobs()
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
        return self._layout.blob(digest)

    async def put(self, digest: Digest, content: bytes) -> None:
        """Write a file of its own and rename it; see BlobStore."""
        await self._threads.run(self._put, digest, content)

    async def delete(self, digest: Digest) -> None:
        """Remove the blob's file; see BlobStore."""
        await self._threads.run(self._delete, digest)

    def digests(self) -> AsyncIterator[Digest]:
        """Yield what the names of the blobs' files spell; see BlobStore."""
        return self._threads.iterate(self._layout.digests())

    def strays(self) -> AsyncIterator[str]:
        """Yield the paths, from the root, of what no blob has; see BlobStore."""
        return self._threads.iterate(self._layout.strays())

    async def open_upload(self, owner: str, algorithm: str | None = None) -> str:
        """Make an empty file; see BlobStore."""
        upload_id = str(uuid.uuid4())
        path = self._layout.session(upload_id, owner)
        with storage_errors(self._layout.root):
            running = create_session(path, algorithm or ALGORITHMS[0])
        self._keep_running(path, running)
        return upload_id

    async def upload_status(self, upload_id: str, owner: str) -> UploadStatus:
        """Return the size of the session's file; see BlobStore."""
        path = self._layout.session(upload_id, owner)
        with storage_errors(self._layout.root):
            try:
                return status_of(path.stat())
            except FileNotFoundError:
                raise_unknown(path)

    def uploads(self) -> AsyncIterator[UploadStatus]:
        """Yield the status of every session's file; see BlobStore."""
        return self._threads.iterate(status for _, status in self._layout.sessions())

    async def append(
        self, upload_id: str, owner: str, chunks: AsyncIterator[bytes], *, offset: int | None
    ) -> UploadStatus:
        """Append to the session's file and go on with its hash; see BlobStore."""
        path = self._layout.session(upload_id, owner)
        with storage_errors(self._layout.root):
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
        path = self._layout.session(upload_id, owner)
        return await self._threads.run(self._commit, path, digest, self._running.pop(path, None))

    async def cancel(self, upload_id: str, owner: str) -> None:
        """Remove the session's file; see BlobStore."""
        path = self._layout.session(upload_id, owner)
        self._running.pop(path, None)
        await self._threads.run(remove_session, path)

    async def expire_uploads(self, older_than: datetime) -> int:
        """Remove the files of old sessions; see BlobStore."""
        return await self._threads.run(self._expire_uploads, older_than)

    def _write_probe(self) -> None:
        path = self._layout.session(str(uuid.uuid4()), _NO_OWNER)
        create_session(path, ALGORITHMS[0])
        try:
            path.write_bytes(bytes(_PROBE_BYTES))
        finally:
            path.unlink()

    def _put(self, digest: Digest, content: bytes) -> None:
        actual = Digest.of(content, digest.algorithm)
        if actual != digest:
            raise DigestMismatchError(digest, actual)
        path = self._layout.session(str(uuid.uuid4()), _NO_OWNER)
        running = create_session(path, digest.algorithm)
        try:
            with closing(UploadSession(path, running)) as session:
                session.write([content])
            self._commit(path, digest, running)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _delete(self, digest: Digest) -> None:
        path = self._layout.blob(digest)
        try:
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
        except FileNotFoundError:
            self._layout.require_blobs()

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
        target = self._layout.blob(digest)
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
        for path, status in self._layout.sessions():
            if status.changed_at < older_than:
                with (
                    suppress(UploadUnknownError, UploadBusyError),
                    closing(UploadSession(path, None)) as session,
                ):
                    if session.status().changed_at < older_than:
                        remove_session(path)
                        count += 1
        for path in self._layout.lost_notes():
            path.unlink(missing_ok=True)
        return count

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
