"""SQLite alone: what happens to writes that are committed together when the database refuses one of them."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from homeport.db.engine import Database, DatabaseUnavailableError, open_database
from homeport.db.schema import manifest_body
from homeport.db.upgrade import upgrade_database

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """Return a database in a file."""
    database = open_database(f"sqlite:///{tmp_path / 'homeport.db'}", tmp_path / "run")
    await database.open()
    await upgrade_database(database)
    yield database
    await database.close()


def hold_up(_connection: Connection, go_on: threading.Event) -> None:
    go_on.wait(10)


def add_body(connection: Connection, name: str) -> None:
    connection.execute(insert(manifest_body).values(digest=name, body=b""))


def fill_up(connection: Connection, name: str) -> None:
    """Meet a full disk in the middle of a statement: SQLite then undoes the whole transaction by itself."""
    pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    connection.execute(text(f"PRAGMA max_page_count={pages + 2}"))
    try:
        connection.execute(insert(manifest_body).values(digest=name, body=bytes(1_000_000)))
    finally:
        connection.execute(text("PRAGMA max_page_count=4294967294"))


def list_bodies(connection: Connection) -> set[str]:
    return set(connection.execute(select(manifest_body.c.digest)).scalars())


async def test_write_on_a_full_disk_says_so_and_takes_no_acknowledged_write_with_it(sqlite: Database) -> None:
    go_on = threading.Event()
    first = asyncio.create_task(sqlite.write(hold_up, go_on))
    await asyncio.sleep(0.1)
    together = [("a", add_body), ("b", fill_up), ("c", add_body), ("d", add_body)]
    tasks = {name: asyncio.create_task(sqlite.write(write, name)) for name, write in together}
    await asyncio.sleep(0.1)
    go_on.set()
    await first

    outcomes = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))

    acknowledged = {name for name, outcome in outcomes.items() if outcome is None}
    assert await sqlite.read(list_bodies) == acknowledged == {"a", "c", "d"}
    assert isinstance(outcomes["b"], DatabaseUnavailableError)
    assert "full" in str(outcomes["b"])


async def test_write_is_refused_while_the_database_cannot_be_opened(tmp_path: Path) -> None:
    directory = tmp_path / "database"
    database = open_database(f"sqlite:///{directory / 'homeport.db'}", tmp_path / "run")
    await database.open()
    await upgrade_database(database)
    await database.close()
    await database.open()
    lock = directory / "homeport.db.writer"
    lock.unlink()
    lock.mkdir()

    with pytest.raises(DatabaseUnavailableError):
        await asyncio.wait_for(database.write(add_body, "a"), 10)
    lock.rmdir()
    await asyncio.wait_for(database.write(add_body, "b"), 10)

    assert await database.read(list_bodies) == {"b"}
    await database.close()


async def test_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "homeport.db"
    path.write_bytes(os.urandom(8192))
    database = open_database(f"sqlite:///{path}", tmp_path / "run")

    with pytest.raises(DatabaseUnavailableError, match="cannot be opened"):
        await database.open()
    await database.close()
