"""Both databases: transactions, the version that moves with every change, and migrations both ways."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, inspect, select, text

from homeport.db.engine import Database, DatabaseUnavailableError, open_database
from homeport.db.schema import blob, metadata
from homeport.db.upgrade import HEAD, SchemaTooNewError, current_revision, migrate_to, upgrade_database
from homeport.errors import HomeportError

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def add_blob(connection: Connection, digest: str) -> None:
    connection.execute(insert(blob).values(digest=digest, size_bytes=1, created_at=NOW))


def add_blob_and_fail(connection: Connection, digest: str) -> None:
    add_blob(connection, digest)
    raise LookupError(digest)


def count_blobs(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(blob)).scalar_one()


def read_times(connection: Connection) -> list[datetime]:
    return list(connection.execute(select(blob.c.created_at)).scalars())


async def test_write_is_seen_by_the_next_read(database: Database) -> None:
    await database.write(add_blob, "sha256:a")

    assert await database.read(count_blobs) == 1


async def test_timestamp_comes_back_as_the_same_moment(database: Database) -> None:
    await database.write(add_blob, "sha256:a")

    assert await database.read(read_times) == [NOW]


async def test_failed_write_changes_nothing_and_passes_the_error_on(database: Database) -> None:
    with pytest.raises(LookupError):
        await database.write(add_blob_and_fail, "sha256:a")

    assert await database.read(count_blobs) == 0


async def test_failed_write_spares_those_committed_with_it(database: Database) -> None:
    outcomes = await asyncio.gather(
        *(
            database.write(add_blob_and_fail if number % 3 == 0 else add_blob, f"sha256:{number}")
            for number in range(30)
        ),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes[::3]] == [LookupError] * 10
    assert await database.read(count_blobs) == 20


async def test_version_moves_with_an_own_write(database: Database) -> None:
    before = database.version()

    await database.write(add_blob, "sha256:a")

    assert database.version() != before


async def test_version_stays_while_nothing_is_written(database: Database) -> None:
    await database.write(add_blob, "sha256:a")
    await asyncio.sleep(0.3)  # what PostgreSQL notifies arrives a little later
    before = database.version()

    await database.read(count_blobs)

    assert database.version() == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_version_moves_at_once_with_the_write_of_another_process(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    first, second = open_database(url, tmp_path), open_database(url, tmp_path)
    await first.open()
    await second.open()
    await upgrade_database(first)
    await asyncio.sleep(0.3)
    before = second.version()

    await first.write(add_blob, "sha256:a")

    assert second.version() != before
    assert await second.read(count_blobs) == 1
    await first.close()
    await second.close()


async def test_version_moves_with_the_write_of_another_machine(postgres_url: str, tmp_path: Path) -> None:
    first = open_database(postgres_url, tmp_path / "one")
    second = open_database(postgres_url, tmp_path / "other")
    await first.open()
    await second.open()
    await upgrade_database(first)
    await asyncio.sleep(0.3)
    before = second.version()

    await first.write(add_blob, "sha256:a")

    async with asyncio.timeout(2):
        while second.version() == before:
            await asyncio.sleep(0.01)
    await first.close()
    await second.close()


async def test_migration_makes_the_schema_that_statements_are_written_against(database: Database) -> None:
    def columns(connection: Connection) -> dict[str, set[str]]:
        inspector = inspect(connection)
        return {
            table: {column["name"] for column in inspector.get_columns(table)}
            for table in inspector.get_table_names()
            if table != "alembic_version"
        }

    expected = {table.name: set(table.columns.keys()) for table in metadata.sorted_tables}
    assert await database.read(columns) == expected


async def test_migration_goes_down_to_nothing_and_up_again(database: Database) -> None:
    await migrate_to(database, "base")

    assert await database.read(lambda connection: inspect(connection).get_table_names()) == [
        "alembic_version"
    ]

    await upgrade_database(database)
    assert await database.read(current_revision) == HEAD
    await database.write(add_blob, "sha256:a")


async def test_upgrade_may_be_repeated(database: Database) -> None:
    await upgrade_database(database)

    assert await database.read(current_revision) == HEAD


async def test_upgrade_refuses_the_schema_of_a_newer_version(database: Database) -> None:
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )

    with pytest.raises(SchemaTooNewError, match="9999"):
        await upgrade_database(database)


async def test_two_servers_may_make_the_schema_at_once(postgres_url: str, tmp_path: Path) -> None:
    databases = [open_database(postgres_url, tmp_path) for _ in range(3)]
    for database in databases:
        await database.open()

    await asyncio.gather(*(upgrade_database(database) for database in databases))

    assert await databases[0].read(current_revision) == HEAD
    for database in databases:
        await database.close()


async def test_closed_database_says_so(database: Database) -> None:
    await database.close()

    with pytest.raises(DatabaseUnavailableError):
        await database.read(count_blobs)
    with pytest.raises(DatabaseUnavailableError):
        await database.write(add_blob, "sha256:a")


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_database_url_of_another_kind_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(HomeportError):
        open_database(url, tmp_path)


async def test_unreachable_database_is_a_clear_error(tmp_path: Path) -> None:
    database = open_database("postgresql://nobody:secret-word@127.0.0.1:1/none", tmp_path)

    with pytest.raises(DatabaseUnavailableError, match="cannot be reached") as caught:
        await database.open()

    assert "secret-word" not in str(caught.value)
