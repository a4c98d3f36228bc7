"""SQLite: reads in place, one writer thread that commits waiting writes together."""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from homeport.db.engine import DatabaseDamagedError, DatabaseUnavailableError, Statement

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_TIMEOUT_S = 30.0
_MAX_GROUP = 64
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-16000",
    # What a savepoint needs to undo statements: a push would write it to files in /tmp otherwise.
    "temp_store=MEMORY",
)


def make_engine(path: Path, *, begin: str) -> Engine:
    """Return an engine on the file whose transactions start with the given statement.

    `BEGIN` suits readers, `BEGIN IMMEDIATE` writers: they queue at the start instead of failing in the
    middle. Commits are durable (synchronous=FULL): what was acknowledged survives a power cut.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


_Outcome = tuple[_Job, Any, Exception | None]


class _Writer(threading.Thread):
    """Runs writes one after the other and commits those that wait together in one transaction.

    A commit costs one flush of the disk however many writes it holds, so pushes from many clients share it.
    Between processes a file lock orders the writers: it wakes the next one at once, where SQLite's own busy
    handler sleeps and polls.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._path = path
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def run(self) -> None:
        engine = make_engine(self._path, begin="BEGIN IMMEDIATE")
        lock: int | None = None
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                if lock is None:
                    lock = os.open(f"{self._path}.writer", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                if connection is None:
                    connection = engine.connect()
            except (OSError, DBAPIError) as failure:
                _settle_all([(job, None, failure) for job in group])
                continue
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                outcomes = self._commit(connection, group)
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)
            _settle_all(outcomes)
        if connection is not None:
            connection.close()
        if lock is not None:
            os.close(lock)
        engine.dispose()

    def _next_group(self) -> list[_Job] | None:
        job = self.jobs.get()
        if job is None:
            return None
        group = [job]
        while len(group) < _MAX_GROUP:
            try:
                job = self.jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self.jobs.put(None)
                break
            group.append(job)
        return group

    def _commit(self, connection: Connection, group: list[_Job]) -> list[_Outcome]:
        try:
            with connection.begin():
                outcomes = [_attempt(connection, job) for job in group]
        except _TransactionLostError as lost:
            # Nothing of the group is stored. Alone, each gets what is its own: success, or the error.
            if len(group) > 1:
                return [outcome for job in group for outcome in self._commit(connection, [job])]
            return [(group[0], None, lost.cause)]
        except Exception as failure:  # noqa: BLE001 - a failed commit fails every write in it
            return [(job, None, failure) for job in group]
        return outcomes


class _TransactionLostError(Exception):
    """SQLite has undone the whole transaction by itself, as it may when the disk is full or broken."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


def _attempt(connection: Connection, job: _Job) -> _Outcome:
    """Do the job in the transaction, or none of it."""
    savepoint = connection.begin_nested()
    try:
        result = job.work(connection)
        savepoint.commit()
    except Exception as error:
        # Without a look, the commit at the end would find nothing to do and call it a success.
        if not _is_in_transaction(connection):
            raise _TransactionLostError(error) from error
        savepoint.rollback()
        return job, None, error
    return job, result, None


def _is_in_transaction(connection: Connection) -> bool:
    driver = connection.connection.dbapi_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def _settle_all(outcomes: list[_Outcome]) -> None:
    for job, result, error in outcomes:
        job.loop.call_soon_threadsafe(_settle, job.future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(_translated(error))


def _translated(error: Exception) -> Exception:
    """Return the error as callers know it: what the database itself could not do is unavailability."""
    if isinstance(error, DatabaseError) and type(error) is DatabaseError:
        translated: DatabaseUnavailableError = DatabaseDamagedError(
            f"the database is damaged: {error.orig}", hint="check the disk and restore a backup"
        )
    elif isinstance(error, OperationalError | OSError):
        reason = error.orig if isinstance(error, OperationalError) else error.strerror
        translated = DatabaseUnavailableError(
            f"the database refused the work: {reason}",
            hint="check that the disk has space and the data directory is writable",
        )
    else:
        return error
    translated.__cause__ = error
    return translated


class SqliteDatabase:
    """The Database on a SQLite file in WAL mode.

    Reads run on the calling thread: they take microseconds from memory, less than the way to another
    thread and back. Long scans belong to the jobs process or to the command line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader_engine = make_engine(path, begin="BEGIN")
        self._reader: Connection | None = None
        self._counter: sqlite3.Cursor | None = None
        self._access_version = 0
        self._access_seen_at: int | None = None
        self._writer: _Writer | None = None

    async def open(self) -> None:
        """Connect and start the writer thread."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._reader_engine.connect()
            watcher = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._counter = watcher.cursor()
            self.version()
        except (OSError, sqlite3.Error, DatabaseError) as error:
            raise DatabaseUnavailableError(
                f"the database {self._path} cannot be opened: {error}",
                hint="check the path and its permissions; in place of a damaged file, restore a backup",
            ) from error

    async def close(self) -> None:
        """Finish the queued writes, then disconnect."""
        if self._writer is not None:
            self._writer.jobs.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None
        if self._counter is not None:
            self._counter.connection.close()
            self._counter = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._reader_engine.dispose()

    async def read(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the statement on a snapshot, on this thread."""
        reader = self._reader
        if reader is None:
            raise DatabaseUnavailableError("the database is not open")
        try:
            with reader.begin():
                return statement(reader, *args, **kwargs)
        except DatabaseError as error:
            raise _translated(error) from error

    async def write(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Queue the statement for the writer thread and wait until it is committed."""
        if self._reader is None:
            raise DatabaseUnavailableError("the database is not open")
        if self._writer is None:
            self._writer = _Writer(self._path)
            self._writer.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.jobs.put(_Job(lambda connection: statement(connection, *args, **kwargs), future, loop))
        return await future

    def version(self) -> int:
        """Return SQLite's own counter of commits by other connections (PRAGMA data_version)."""
        if self._counter is None:
            raise DatabaseUnavailableError("the database is not open")
        version: int = self._counter.execute("PRAGMA data_version").fetchone()[0]
        return version

    async def access_version(self) -> int:
        """Return the number that the triggers raise."""
        version = self.version()
        if version != self._access_seen_at and self._counter is not None:
            row = self._counter.execute("SELECT version FROM access_version").fetchone()
            self._access_version = row[0] if row is not None else 0
            self._access_seen_at = version
        return self._access_version
