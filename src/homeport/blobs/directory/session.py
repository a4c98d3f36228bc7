"""One upload session of the directory store: a file that grows, and a note of its digest.

The file is named for the session and its owner, so that no other state is needed; its size is the offset.
Whoever appends to it or ends it holds its lock.
"""

import fcntl
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from homeport.blobs.directory.files import FILE_MODE, write_all
from homeport.blobs.store import UploadBusyError, UploadStatus, UploadUnknownError
from homeport.oci.digest import Digest, Hash, new_hash

NOTE_SUFFIX = ".digest"

_NOTE_MIN_BYTES = 4 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_WRITE_BACK_BYTES = 8 * 1024 * 1024
_NOTE = re.compile(r"(\S+) (sha256|sha512):([0-9a-f]{64,128})\n")


@dataclass(slots=True)
class RunningHash:
    """The hash of the first `size_bytes` bytes of the file with this inode number."""

    hasher: Hash
    algorithm: str
    inode: int
    size_bytes: int


class UploadSession:
    """An upload session's file, open and locked until `close`; used by one thread at a time.

    Raises UploadUnknownError when there is no such file and UploadBusyError when it is locked. The running
    hash, if given, goes on when it fits the file and is dropped otherwise.
    """

    __slots__ = ("_descriptor", "_written_back", "inode", "path", "running", "size_bytes")

    def __init__(self, path: Path, running: RunningHash | None) -> None:
        self.path = path
        self._descriptor = _open_locked(path)
        status = os.fstat(self._descriptor)
        self.inode = status.st_ino
        self.size_bytes = status.st_size
        self._written_back = status.st_size
        self.running: RunningHash | None = None
        if running is not None and (running.inode, running.size_bytes) == (self.inode, self.size_bytes):
            self.running = running
        elif self.size_bytes == 0:
            self.running = RunningHash(new_hash("sha256"), "sha256", self.inode, 0)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._descriptor)

    def status(self) -> UploadStatus:
        """Return the session's size and time."""
        return status_of(os.fstat(self._descriptor))

    def write(self, chunks: list[bytes]) -> None:
        """Append the chunks.

        Raises UploadUnknownError when the session was cancelled, and OSError; what was written before the
        error counts.
        """
        if os.fstat(self._descriptor).st_nlink == 0:
            raise UploadUnknownError
        for piece in write_all(self._descriptor, chunks):
            self.size_bytes += len(piece)
            if self.running is not None:
                self.running.hasher.update(piece)
                self.running.size_bytes += len(piece)
        if self.size_bytes - self._written_back >= _WRITE_BACK_BYTES:
            # The disk starts now, so that the sync at the end is short. Pages that are not yet clean stay.
            os.posix_fadvise(
                self._descriptor,
                self._written_back,
                self.size_bytes - self._written_back,
                os.POSIX_FADV_DONTNEED,
            )
            self._written_back = self.size_bytes

    def note_digest(self, boot_id: str) -> None:
        """Leave the digest of the content for a commit by another process, if reading it again would cost.

        Losing the note, or finding half of it, costs time and nothing else.
        """
        if self.running is None or self.size_bytes < _NOTE_MIN_BYTES or not boot_id:
            return
        text = f"{self._stamp(boot_id)} {self.running.algorithm}:{self.running.hasher.hexdigest()}\n"
        with suppress(OSError):
            _note_path(self.path).write_text(text, encoding="ascii")

    def digest(self, expected: Digest, boot_id: str) -> Digest:
        """Return the digest of the content, in the expected one's algorithm.

        The content is read again unless this process hashed all of it, or another one did and noted the
        expected digest.
        """
        if self.running is not None and self.running.algorithm == expected.algorithm:
            return Digest(expected.algorithm, self.running.hasher.hexdigest())
        if self._noted_digest(boot_id) == expected:
            return expected
        hasher = new_hash(expected.algorithm)
        buffer = memoryview(bytearray(_READ_BYTES))
        offset = 0
        while count := os.preadv(self._descriptor, [buffer], offset):
            hasher.update(buffer[:count])
            offset += count
        return Digest(expected.algorithm, hasher.hexdigest())

    def sync(self) -> None:
        """Make the content durable."""
        os.fsync(self._descriptor)

    def _noted_digest(self, boot_id: str) -> Digest | None:
        try:
            text = _note_path(self.path).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        match = _NOTE.fullmatch(text)
        if match is None or not boot_id or match[1] != self._stamp(boot_id):
            return None
        return Digest(match[2], match[3])

    def _stamp(self, boot_id: str) -> str:
        """Return what ties a note to this state of the file: any later write makes another one.

        What a running kernel was given it gives back; after a power failure, or on another machine, the
        content may be another one although size and time are the same.
        """
        status = os.fstat(self._descriptor)
        return f"{boot_id}/{status.st_ino}/{status.st_size}/{status.st_mtime_ns}"


def status_of(status: os.stat_result) -> UploadStatus:
    """Return the status of the session whose file has this status."""
    return UploadStatus(status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def create_session(path: Path, algorithm: str) -> RunningHash:
    """Make the session's file and return the hash of its content, of which there is none yet."""
    hasher = new_hash(algorithm)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        return RunningHash(hasher, algorithm, os.fstat(descriptor).st_ino, 0)
    finally:
        os.close(descriptor)


def remove_session(path: Path) -> None:
    """Remove the session's file and its note; raises UploadUnknownError when there is no such file."""
    forget_note(path)
    try:
        path.unlink()
    except FileNotFoundError:
        raise_unknown(path)


def raise_unknown(path: Path) -> NoReturn:
    """Raise UploadUnknownError, or FileNotFoundError when the directory of all sessions is not there."""
    path.parent.stat()
    raise UploadUnknownError from None


def forget_note(path: Path) -> None:
    """Remove the session's note, if there is one."""
    _note_path(path).unlink(missing_ok=True)


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + NOTE_SUFFIX)


def _open_locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise_unknown(path)
    try:
        _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_current = os.path.samestat(os.fstat(descriptor), path.stat())
    except BlockingIOError:
        raise UploadBusyError from None
    except FileNotFoundError:
        is_current = False
    # Between open and lock another process may have made a blob of the file.
    if not is_current:
        raise UploadUnknownError
