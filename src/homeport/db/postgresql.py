"""PostgreSQL through asyncpg; changes are heard by LISTEN/NOTIFY and, on one machine, by shared memory."""

import asyncio
import mmap
import os
import struct
import time
from pathlib import Path
from typing import ParamSpec, TypeVar

import asyncpg
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from homeport.db.engine import DatabaseUnavailableError, Statement

P = ParamSpec("P")
T = TypeVar("T")

_CHANNEL = "homeport_change"
_ACCESS_VERSION = text("SELECT version FROM access_version")
_NOTIFY = text(f"NOTIFY {_CHANNEL}")
_CONNECT_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 60.0
_RECONNECT_PAUSE_S = 0.5
_SERIALIZATION_FAILURES = {"40001", "40P01"}
_MAX_TRIES = 5


class _ChangeMark:
    """Eight bytes of shared memory that every commit on this machine writes a new value into."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < 8:  # noqa: PLR2004 - one machine word
                os.ftruncate(descriptor, 8)
            self._memory = mmap.mmap(descriptor, 8)
        finally:
            os.close(descriptor)

    def touch(self) -> None:
        struct.pack_into("=Q", self._memory, 0, (time.time_ns() ^ (os.getpid() << 44)) & (2**64 - 1))

    def value(self) -> int:
        value: int = struct.unpack_from("=Q", self._memory)[0]
        return value

    def close(self) -> None:
        self._memory.close()


class PostgresqlDatabase:
    """The Database on PostgreSQL, shared with other processes and machines.

    Reads and writes have connections of their own: writes that wait for one another's rows must not keep
    pulls waiting.
    """

    def __init__(self, url: URL, state_directory: Path) -> None:
        self._url = url.set(drivername="postgresql+asyncpg")
        self._mark_path = state_directory / "change-mark"
        self._mark: _ChangeMark | None = None
        self._readers: AsyncEngine | None = None
        self._writers: AsyncEngine | None = None
        self._listener: asyncio.Task[None] | None = None
        self._heard = 0
        self._is_listening = False
        self._access_version = 0
        self._access_seen_at: int | None = None

    async def open(self) -> None:
        """Connect and start to listen for changes."""
        self._readers, self._writers = self._make_pool(6), self._make_pool(4)
        try:
            async with self._readers.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (OSError, DBAPIError, asyncpg.PostgresError, TimeoutError) as error:
            await self._dispose()
            raise DatabaseUnavailableError(
                f"the database at {self._url.host}:{self._url.port or 5432} cannot be reached:"
                f" {type(error).__name__}",
                hint="check --database-url and that PostgreSQL accepts connections",
            ) from error
        self._mark = _ChangeMark(self._mark_path)
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None
        await self._dispose()
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def _make_pool(self, size: int) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=size,
            max_overflow=size,
            pool_pre_ping=True,
            connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S},
        )

    async def _dispose(self) -> None:
        for pool in (self._readers, self._writers):
            if pool is not None:
                await pool.dispose()
        self._readers = self._writers = None

    async def read(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the statement on one snapshot (REPEATABLE READ)."""
        engine = _opened(self._readers)
        try:
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    return await connection.run_sync(statement, *args, **kwargs)
        except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
            raise self._unavailable(error) from error

    async def write(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the statement in a transaction; conflicts between transactions are tried again."""
        engine = _opened(self._writers)

        def run(connection: Connection) -> T:
            result = statement(connection, *args, **kwargs)
            connection.execute(_NOTIFY)
            return result

        for attempt in range(1, _MAX_TRIES + 1):
            try:
                async with engine.begin() as connection:
                    result = await connection.run_sync(run)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _SERIALIZATION_FAILURES and attempt < _MAX_TRIES:
                    continue
                if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
                    raise self._unavailable(error) from error
                raise
            except (PoolTimeoutError, OSError) as error:
                raise self._unavailable(error) from error
            if self._mark is not None:
                self._mark.touch()
            return result
        raise DatabaseUnavailableError("the database kept refusing the transaction: too many conflicts")

    def version(self) -> int:
        """Return a number that moves with this machine's commits at once, with others' when they are heard.

        While the connection that listens is down every call moves it, so that nothing cached is trusted.
        """
        if not self._is_listening:
            self._heard += 1
        mark = self._mark.value() if self._mark is not None else 0
        return (self._heard << 64) | mark

    async def access_version(self) -> int:
        """Return the number that the triggers raise."""
        version = self.version()
        if version != self._access_seen_at:
            self._access_version = await self.read(_read_access_version)
            self._access_seen_at = version
        return self._access_version

    def _unavailable(self, error: Exception) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"the database does not answer: {type(error).__name__}", hint="try again in a few seconds"
        )

    async def _listen(self) -> None:
        dsn = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            lost = asyncio.Event()
            try:
                connection = await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(_RECONNECT_PAUSE_S)
                continue
            try:
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await connection.add_listener(_CHANNEL, self._hear)
                self._is_listening = True
                await lost.wait()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(_RECONNECT_PAUSE_S)
            finally:
                self._is_listening = False
                self._heard += 1
                await asyncio.shield(_close_quietly(connection))

    def _hear(self, *_notification: object) -> None:
        self._heard += 1


async def _close_quietly(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        connection.terminate()


def _opened(pool: AsyncEngine | None) -> AsyncEngine:
    if pool is None:
        raise DatabaseUnavailableError("the database is not open")
    return pool


def _read_access_version(connection: Connection) -> int:
    version: int = connection.execute(_ACCESS_VERSION).scalar_one()
    return version
