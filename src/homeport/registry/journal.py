"""The pull journal: one line per pull, in a file of this process, before the answer leaves."""

import fcntl
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from homeport.db.audit import AuditRecord
from homeport.db.repositories import project_of
from homeport.db.schema import EPOCH
from homeport.errors import HomeportError

SUFFIX = ".pulls"

_MAX_SEGMENT_BYTES = 64 * 1024 * 1024
_FIELDS = 9
_END_OF_TIME = 2**56


class JournalError(HomeportError):
    """The journal could not be written, so the pull must not be answered."""


class PullJournal:
    """The journal of one process.

    `append` returns when the line is in the operating system's hands: the death of the process loses
    nothing; with `is_synced` it is on the disk. The file is locked while it may grow, so whoever drains the
    journals can tell a finished one. Start a new PullJournal after a fork.
    """

    def __init__(self, directory: Path, *, is_synced: bool = False) -> None:
        self._directory = directory
        self._is_synced = is_synced
        self._descriptor: int | None = None
        self._size_bytes = 0

    def append(self, fields: tuple[str, str, str, str, str, str, str, str]) -> None:
        """Record a pull that happens now.

        The fields are principal, auth method, client address, user agent, request id, repository, reference
        and digest. Raises JournalError when the line cannot be written whole.
        """
        line = orjson.dumps((time.time_ns() // 1000, *fields)) + b"\n"
        descriptor = self._descriptor
        if descriptor is None or self._size_bytes > _MAX_SEGMENT_BYTES:
            descriptor = self._open_segment()
        try:
            written = os.write(descriptor, line)
            if self._is_synced:
                os.fdatasync(descriptor)
        except OSError as error:
            self.close()
            raise JournalError(
                f"the pull cannot be recorded: {error.strerror}",
                hint="free space in the data directory",
            ) from error
        self._size_bytes += written
        if written != len(line):
            self.close()
            raise JournalError("the pull cannot be recorded: the disk is full")

    def close(self) -> None:
        """Finish the file; a later append begins a new one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_segment(self) -> int:
        self.close()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = _create(self._directory, f"{os.getpid()}-{time.time_ns()}")
            if self._is_synced:
                sync_directory(self._directory.parent)
                sync_directory(self._directory)
        except OSError as error:
            raise JournalError(
                f"the pull journal cannot be opened: {error.strerror}",
                hint="check the data directory's space and permissions",
            ) from error
        self._descriptor = descriptor
        self._size_bytes = 0
        return descriptor


def _create(directory: Path, name: str) -> int:
    """Make a file that has its name as a journal only once it is locked."""
    path = directory / f"{name}.new"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        path.rename(directory / f"{name}{SUFFIX}")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def sync_directory(directory: Path) -> None:
    """Make the names in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_lines(content: bytes) -> Iterator[AuditRecord]:
    """Yield the records in whole lines of a journal; a damaged line yields a record that says so."""
    for line in content.splitlines():
        values = _parse_line(line)
        if values is None:
            yield _damaged(line)
            continue
        recorded_at, principal, auth_method, address, agent, request_id, repository, reference, digest = (
            values
        )
        yield AuditRecord(
            recorded_at=EPOCH + timedelta(microseconds=recorded_at),
            operation="pull",
            outcome="success",
            principal=principal,
            auth_method=auth_method,
            client_address=address,
            user_agent=agent,
            request_id=request_id,
            project=project_of(repository),
            repository=repository,
            reference=reference,
            digest=digest,
        )


def _parse_line(line: bytes) -> tuple[int, str, str, str, str, str, str, str, str] | None:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    # PostgreSQL stores no NUL; no field that a pull brings has one.
    if not isinstance(values, list) or len(values) != _FIELDS or b"\\u0000" in line:
        return None
    is_dated = type(values[0]) is int and 0 <= values[0] < _END_OF_TIME
    return tuple(values) if is_dated and all(type(value) is str for value in values[1:]) else None


def _damaged(line: bytes) -> AuditRecord:
    return AuditRecord(
        recorded_at=datetime.now(UTC),
        operation="pull",
        outcome="damaged",
        principal="",
        auth_method="",
        client_address="",
        user_agent="",
        request_id="",
        detail=line[:1024].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
    )
