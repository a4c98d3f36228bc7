"""Brings the pull journals of all workers, living and dead, into the audit table."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

import structlog
from sqlalchemy import Connection

from homeport.db.audit import AuditRecord, forget_journal, journal_offset, take_in
from homeport.db.engine import Database
from homeport.db.pulls import count_pulls
from homeport.db.robots import note_uses
from homeport.registry.journal import SUFFIX, parse_lines, sync_directory

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_PART_BYTES = 512 * 1024
_STALE_S = 3600.0


async def drain_journals(database: Database, directory: Path, *, waits: bool = False) -> int:
    """Move every whole line of every journal into the database, once; returns how many.

    The position in a journal is stored together with the records, so a drain that is killed repeats and
    loses nothing. Journals of finished writers are removed when all is in. While another process drains,
    returns 0 at once, or waits for its turn.
    """
    if not directory.is_dir():
        return 0
    guard = os.open(directory / "drain.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if waits:
            await asyncio.to_thread(fcntl.flock, guard, fcntl.LOCK_EX)
        elif not _is_locked(guard):
            return 0
        count = 0
        for path in sorted(directory.iterdir()):
            if path.suffix == SUFFIX:
                count += await _drain(database, path)
            elif path.suffix == ".new" and time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        return count
    finally:
        os.close(guard)


async def _drain(database: Database, path: Path) -> int:
    count = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Its writer keeps it locked while it may grow.
        is_finished = _is_locked(descriptor)
        offset = await database.read(journal_offset, path.name)
        while True:
            content = os.pread(descriptor, _PART_BYTES, offset)
            end = content.rfind(b"\n") + 1
            if not end and is_finished and content:
                log.warning("journal_torn", journal=path.name, size_bytes=len(content))
                end = len(content)
            if not end:
                break
            records = list(parse_lines(content[:end]))
            offset += end
            await database.write(_take_in, path.name, records, offset)
            count += len(records)
        if is_finished:
            path.unlink()
            # A file that came back after a power failure would be taken in twice.
            sync_directory(path.parent)
            await database.write(forget_journal, path.name)
    finally:
        os.close(descriptor)
    return count


def _take_in(connection: Connection, journal: str, records: list[AuditRecord], offset_bytes: int) -> None:
    # repositories before the audit table, as pushes do, so that neither waits for the other
    count_pulls(connection, records)
    note_uses(connection, {each.principal: (each.recorded_at, each.client_address) for each in records})
    take_in(connection, journal, records, offset_bytes)


def _is_locked(descriptor: int) -> bool:
    """Lock the file unless somebody else has; tell whether it is locked for this process now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
