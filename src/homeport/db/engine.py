"""The way to the database: reads, writes and a counter that moves with every change."""

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, make_url

from homeport.errors import HomeportError

P = ParamSpec("P")
T = TypeVar("T")

Statement = Callable[Concatenate[Connection, P], T]


class DatabaseUnavailableError(HomeportError):
    """The database did not answer or refused the work; nothing was changed."""


class DatabaseDamagedError(DatabaseUnavailableError):
    """What the database has stored cannot be read any more."""


class Database(Protocol):
    """One database as one process uses it; two implementations, one per dialect.

    Statements are plain functions whose first argument is the connection. They run inside one transaction,
    hold no network call but the database's own, and see a consistent snapshot.
    """

    async def open(self) -> None:
        """Connect; raises DatabaseUnavailableError. To be called once, on the loop that will use it."""

    async def close(self) -> None:
        """Finish the writes under way and let go of every connection."""

    async def read(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the statement returns; it changes nothing."""

    async def write(self, statement: Statement[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the statement in a transaction of its own and return its result when that is durable.

        When the statement raises, its changes are undone and the error is passed on.
        """

    def version(self) -> int:
        """Return a number that differs after anything was committed by any process of this machine.

        Cheap enough for every request. Whoever caches an answer keeps the number read *before* the answer
        was, and trusts the answer while the number stays.
        """

    async def access_version(self) -> int:
        """Return a number that differs after a commit of something that rights depend on (see `db.triggers`).

        To be kept and trusted like `version`, which moves with every push. Costs a look at one row when that
        has moved, nothing while it has not.
        """


def open_database(url: str, state_directory: Path) -> Database:
    """Return the database of the URL, not yet open: `sqlite:///PATH` or `postgresql://...`.

    The state directory is local to this machine; processes that share a PostgreSQL database on one machine
    share it to hear of each other's changes at once.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            from homeport.db.sqlite import SqliteDatabase

            if not parsed.database or parsed.database == ":memory:":
                raise HomeportError(
                    "a SQLite database needs a file", hint="use --database-url sqlite:////path/homeport.db"
                )
            return SqliteDatabase(Path(parsed.database))
        case "postgresql":
            from homeport.db.postgresql import PostgresqlDatabase

            return PostgresqlDatabase(parsed, state_directory)
        case other:
            raise HomeportError(
                f"databases of kind {other!r} are not supported", hint="use sqlite:///PATH or postgresql://"
            )
