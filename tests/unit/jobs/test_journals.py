"""Journals are taken in once, whoever wrote them and however their writer ended."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from homeport.db.audit import AuditFilter
from homeport.db.audit_search import list_records
from homeport.db.engine import Database
from homeport.db.schema import journal_position
from homeport.jobs.journals import drain_journals
from homeport.registry.journal import SUFFIX, PullJournal

pytestmark = pytest.mark.anyio


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return where the journals are."""
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Iterator[PullJournal]:
    """Return a journal that is open."""
    opened = PullJournal(directory)
    yield opened
    opened.close()


def append(journal: PullJournal, *names: str) -> None:
    for name in names:
        journal.append(("alice", "basic", "10.0.0.1", "tests", name, "library/app", "latest", "sha256:a"))


async def recorded(database: Database) -> list[str]:
    records = await database.read(list_records, AuditFilter(), limit=10_000)
    return [record.request_id for _, record in sorted(records, key=lambda row: row[0])]


def count_positions(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(journal_position)).scalar_one()


def files(directory: Path) -> list[Path]:
    return list(directory.glob(f"*{SUFFIX}"))


async def test_nothing_is_taken_in_from_nowhere(database: Database, directory: Path) -> None:
    assert await drain_journals(database, directory) == 0


async def test_growing_journal_is_taken_in_bit_by_bit(
    database: Database, directory: Path, journal: PullJournal
) -> None:
    append(journal, "a", "b")
    first = await drain_journals(database, directory)
    nothing = await drain_journals(database, directory)
    append(journal, "c")
    second = await drain_journals(database, directory)

    assert (first, nothing, second) == (2, 0, 1)
    assert await recorded(database) == ["a", "b", "c"]
    assert len(files(directory)) == 1


async def test_finished_journal_is_taken_in_and_removed(
    database: Database, directory: Path, journal: PullJournal
) -> None:
    append(journal, "a")
    await drain_journals(database, directory)
    append(journal, "b")
    journal.close()
    await drain_journals(database, directory)

    assert await recorded(database) == ["a", "b"]
    assert files(directory) == []
    assert await database.read(count_positions) == 0


async def test_long_journal_is_taken_in_by_parts(
    database: Database, directory: Path, journal: PullJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.jobs.journals._PART_BYTES", 500)
    names = [str(number) for number in range(50)]
    append(journal, *names)
    journal.close()

    assert await drain_journals(database, directory) == 50
    assert await recorded(database) == names


async def test_torn_end_of_a_growing_journal_waits(
    database: Database, directory: Path, journal: PullJournal
) -> None:
    append(journal, "a")
    (path,) = files(directory)
    with path.open("ab") as file:
        file.write(b'[1,"al')
    await drain_journals(database, directory)
    waiting = await recorded(database)
    journal.close()
    await drain_journals(database, directory)

    assert waiting == ["a"]
    assert await recorded(database) == ["a", ""]
    assert files(directory) == []


async def test_damaged_journal_is_taken_in(database: Database, directory: Path, journal: PullJournal) -> None:
    """A file that the disk lost is full of zeros; no database takes these as a text."""
    append(journal, "a")
    (path,) = files(directory)
    with path.open("ab") as file:
        file.write(bytes(100) + b"\n")
    append(journal, "b")
    journal.close()
    await drain_journals(database, directory)

    assert await recorded(database) == ["a", "", "b"]
    assert files(directory) == []


async def test_journal_is_not_taken_in_twice_at_once(
    database: Database, other_database: Database, directory: Path, journal: PullJournal
) -> None:
    names = [str(number) for number in range(200)]
    append(journal, *names)

    await asyncio.gather(
        *(drain_journals(base, directory) for base in (database, other_database) for _ in range(3))
    )

    assert await recorded(database) == names


async def test_drain_waits_for_another_one_when_asked_to(
    database: Database, directory: Path, journal: PullJournal
) -> None:
    append(journal, "a")
    guard = os.open(directory / "drain.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(guard, fcntl.LOCK_EX)
    at_once = await drain_journals(database, directory)
    waiting = asyncio.create_task(drain_journals(database, directory, waits=True))
    await asyncio.sleep(0.1)
    is_waiting = not waiting.done()
    os.close(guard)

    assert await waiting == 1
    assert (at_once, is_waiting) == (0, True)


async def test_file_of_a_worker_killed_while_it_opened_a_journal_is_removed_later(
    database: Database, directory: Path
) -> None:
    directory.mkdir()
    young, old = directory / "1-1.new", directory / "1-2.new"
    for path in (young, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))

    await drain_journals(database, directory)

    assert young.exists()
    assert not old.exists()
