"""Files that last: whole writes, synced directories, and what the operating system's errors mean."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from homeport.blobs.store import StorageFullError, StorageUnavailableError

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750

_MAX_BUFFERS = 512
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_TOO_MANY_FILES = {errno.EMFILE, errno.ENFILE}


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Raise the operating system's errors as StorageUnavailableError or StorageFullError."""
    try:
        yield
    except OSError as error:
        raise storage_error(root, error) from error


def storage_error(root: Path, error: OSError) -> StorageUnavailableError:
    """Return what the error means for the storage in the root directory."""
    code = error.errno
    if code in _FULL:
        return StorageFullError("the storage is full", hint=f"free space in {root} or enlarge its volume")
    if code in _READ_ONLY:
        return StorageUnavailableError(
            "the storage cannot be written to", hint=f"check the owner, mode and mount options of {root}"
        )
    if code in _MISSING:
        return StorageUnavailableError(
            "a directory of the storage is missing", hint=f"check that the volume of {root} is mounted"
        )
    if code in _TOO_MANY_FILES:
        return StorageUnavailableError("too many files are open", hint="raise the limit (ulimit -n)")
    return StorageUnavailableError(
        f"the storage failed: {error.strerror or error}",
        hint=f"check the disk of {root} and the system's log",
    )


def write_all(descriptor: int, buffers: Sequence[bytes]) -> Iterator[memoryview]:
    """Write the buffers in order, yielding what has been written so far piece by piece.

    When the system refuses to take more, everything yielded before has been written, and nothing else.
    """
    views = [memoryview(buffer) for buffer in buffers if buffer]
    while views:
        written = os.writev(descriptor, views[:_MAX_BUFFERS])
        while written > 0:
            piece = views[0][:written]
            written -= len(piece)
            if len(piece) == len(views[0]):
                del views[0]
            else:
                views[0] = views[0][len(piece) :]
            yield piece


def sync_directory(directory: Path) -> None:
    """Make the names in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make the directory, in a parent that exists, and make its name durable. May be repeated.

    The parent is synced also when the directory is there: another process may have made it just now.
    """
    directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    sync_directory(directory.parent)
