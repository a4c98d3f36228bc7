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
_MAX_SEGMENT_AGE_S = 300.0
_FIELDS = 9


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
        self._opened_at = 0.0

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

    def rotate_when_old(self) -> None:
        """Finish a file that is older than a few minutes, so that it can be drained and removed."""
        if self._descriptor is not None and time.monotonic() - self._opened_at > _MAX_SEGMENT_AGE_S:
            self.close()

    def close(self) -> None:
        """Finish the file; a later append begins a new one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_segment(self) -> int:
        self.close()
        name = f"{os.getpid()}-{time.time_ns()}"
        path = self._directory / f"{name}.new"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            path.rename(self._directory / f"{name}{SUFFIX}")
        except OSError as error:
            raise JournalError(
                f"the pull journal cannot be opened: {error.strerror}",
                hint="check the data directory's space and permissions",
            ) from error
        self._descriptor = descriptor
        self._size_bytes = 0
        self._opened_at = time.monotonic()
        return descriptor


def parse_lines(content: bytes) -> Iterator[AuditRecord]:
    """Yield the records in whole lines of a journal; a damaged line yields a record that says so."""
    for line in content.splitlines():
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            values = None
        if not isinstance(values, list) or len(values) != _FIELDS:
            yield _damaged(line)
            continue
        repository = str(values[6])
        yield AuditRecord(
            recorded_at=EPOCH + timedelta(microseconds=values[0]),
            operation="pull",
            outcome="success",
            principal=values[1],
            auth_method=values[2],
            client_address=values[3],
            user_agent=values[4],
            request_id=values[5],
            project=project_of(repository),
            repository=repository,
            reference=values[7],
            digest=values[8],
        )


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
        detail=line[:1024].decode("utf-8", "replace"),
    )
