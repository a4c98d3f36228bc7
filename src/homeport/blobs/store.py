"""The blob store: content by its digest, and the upload sessions that bring it.

Callers see this module alone; drivers are built by the composition root. Every driver passes the exam in
tests/contract/blob_store_exam.py.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from homeport.errors import HomeportError
from homeport.oci.digest import Digest


class StorageUnavailableError(HomeportError):
    """The storage does not do its work now: missing, read-only, broken. No content was changed by halves."""


class StorageFullError(StorageUnavailableError):
    """The storage has no room for more. What an upload session had received stays."""


class BlobUnknownError(HomeportError):
    """The store has no content with this digest."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"the store has no blob {digest}")
        self.digest = digest


class BlobDamagedError(HomeportError):
    """The stored content is shorter than the caller knows it to be."""

    def __init__(self, digest: Digest, size_bytes: int) -> None:
        super().__init__(
            f"the stored blob {digest} ends after {size_bytes} bytes",
            hint="push the blob again or restore it from a backup",
        )
        self.digest = digest
        self.size_bytes = size_bytes


class DigestMismatchError(HomeportError):
    """The content is not what the digest names."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"the content has the digest {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class UploadUnknownError(HomeportError):
    """There is no such upload session, or it belongs to another owner."""

    def __init__(self) -> None:
        super().__init__("the upload is not known: finished, cancelled or expired", hint="start a new upload")


class UploadBusyError(HomeportError):
    """Another request is writing to the session or ending it; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            "another request is using this upload", hint="wait for it to end, then ask how much has arrived"
        )


class OffsetMismatchError(HomeportError):
    """The content to be appended does not follow what has arrived; nothing was read of it."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"the upload has received {size_bytes} bytes", hint=f"go on with the byte at offset {size_bytes}"
        )
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How far an upload session is: the bytes received, and when the last of them were (UTC).

    For a session without content, `changed_at` is the time it was opened.
    """

    size_bytes: int
    changed_at: datetime


class BlobStore(Protocol):
    """Immutable content under its digest, shared by any number of processes.

    All state lives in the storage itself, so an upload session may be opened, appended to and committed by
    different processes, or replicas. A process killed at any moment leaves whole blobs and resumable
    sessions, never part of a blob. Memory per call is bounded, whatever the size of the content.

    Every method may raise StorageUnavailableError (StorageFullError among them). An upload session belongs
    to an owner, the name of a repository: for any other owner it does not exist. An upload id that this
    store could not have made is one that is not known.
    """

    async def open(self) -> None:
        """Make the storage ready for use. May be repeated, and called by many processes at once."""

    async def close(self) -> None:
        """Wait for work under way and let go of every resource; the store is not used again."""

    async def check(self) -> None:
        """Return when content can be written now, else raise StorageUnavailableError saying why not."""

    async def stat(self, digest: Digest) -> int | None:
        """Return the size of the blob in bytes, or None when the store does not have it."""

    def read(self, digest: Digest, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to, not including, `end`, in chunks of at most 1 MiB.

        All of them or an error: the first step raises BlobUnknownError, or BlobDamagedError when the stored
        content ends before `end`. A read that has begun is not disturbed by a delete. Whoever
        does not run it to its end closes it (`aclose`).
        """

    def local_path(self, digest: Digest) -> Path | None:
        """Return where the blob's file is, if the blob is there, or None when the store keeps no files.

        Cheap and without input or output: it does not look whether the blob exists. The file is never
        written to; the path stops existing when the blob is deleted.
        """

    async def put(self, digest: Digest, content: bytes) -> None:
        """Make small content a blob: when this returns, the store durably has it.

        Atomic, and may be repeated: it does not matter whether the blob was there before. Raises
        DigestMismatchError.
        """

    async def delete(self, digest: Digest) -> None:
        """Remove the blob: when this returns, the store durably does not have it.

        Atomic, and may be repeated: it does not matter whether the blob was there before. It does not wait
        for reads under way.
        """

    def digests(self) -> AsyncIterator[Digest]:
        """Yield the digest of every blob, each once, in no promised order.

        Blobs that come or go meanwhile may or may not be among them.
        """

    def strays(self) -> AsyncIterator[str]:
        """Yield the names of what lies where blobs are kept and is none, for people to look at.

        Nothing that this store does leaves such a thing behind, and nothing ever reads it.
        """

    async def open_upload(self, owner: str, algorithm: str | None = None) -> str:
        """Begin an upload session and return its id, which nobody can guess and a URL holds as one segment.

        The algorithm is a hint for the digest to come (distribution-spec, `digest-algorithm`): one of
        ALGORITHMS, else DigestInvalidError. The session survives this process; it may not survive a power
        failure.
        """

    async def upload_status(self, upload_id: str, owner: str) -> UploadStatus:
        """Return what has arrived so far, also while more is arriving. Raises UploadUnknownError."""

    def uploads(self) -> AsyncIterator[UploadStatus]:
        """Yield the status of every upload session, of all owners, in no promised order."""

    async def append(
        self, upload_id: str, owner: str, chunks: AsyncIterator[bytes], *, offset: int | None
    ) -> UploadStatus:
        """Append the chunks to the session and return its status when all of them have been taken in.

        Raises UploadUnknownError, UploadBusyError and, when `offset` is given and is not the size so far,
        OffsetMismatchError, each before a chunk is asked for. When the iterator raises, when the caller is
        cancelled or when the storage fails, the session keeps the bytes that arrived before that, without
        a gap, and the error is passed on; `upload_status` tells where to go on. Raises UploadUnknownError
        also when the session is cancelled meanwhile.
        """

    async def commit(self, upload_id: str, owner: str, digest: Digest) -> int:
        """Make the session's content the blob of the digest, end the session, return the size in bytes.

        When this returns, the store durably has the blob; it does not matter whether it had it before, and
        any number of sessions may commit one digest at once. It becomes readable at one instant, whole and
        verified. Raises DigestMismatchError, which ends the session; UploadUnknownError; UploadBusyError.
        When the storage fails before the blob is readable, either the session is as it was and the commit
        may be repeated, or it is gone.
        """

    async def cancel(self, upload_id: str, owner: str) -> None:
        """End the session and drop what arrived, also while it is appended to. Raises UploadUnknownError."""

    async def expire_uploads(self, older_than: datetime) -> int:
        """End every session that nothing has been appended to since then; return how many these were.

        Sessions in use are left alone. The time is an aware one. Also removes what killed processes left.
        """
