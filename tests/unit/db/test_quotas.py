import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, func, select, text

from homeport.db.contents import link_blob, unlink_blob
from homeport.db.engine import Database
from homeport.db.manifests import ArtifactFacts, NewManifest, Reference, delete_manifest, store_manifest
from homeport.db.projects import find_project
from homeport.db.quotas import add_quota, check_room, list_quotas, read_state, set_hard_bytes
from homeport.db.repositories import ensure_project, ensure_repository
from homeport.db.schema import project_content, quota
from homeport.db.settings import StoredSetting, store_settings
from homeport.db.upgrade import migrate_to, upgrade_database
from homeport.rules.listing import ListQuery, Order
from homeport.rules.quota import UNLIMITED, QuotaExceededError, QuotaState

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def link(connection: Connection, repository: str, digest: str, size_bytes: int) -> None:
    """Make a blob one of the repository."""
    link_blob(connection, ensure_repository(connection, repository, NOW), digest, size_bytes, NOW)


def unlink(connection: Connection, repository: str, digest: str) -> None:
    """Take a blob out of the repository."""
    unlink_blob(connection, ensure_repository(connection, repository, NOW), digest)


def store(connection: Connection, repository: str, digest: str, body: bytes, *blobs: str) -> int:
    """Store a manifest that names the blobs, each as large as a client likes to say."""
    references = (*(Reference("layer", each, 0) for each in blobs), Reference("foreign", "sha256:f", 10**9))
    new = NewManifest(digest, "type", body, None, None, None, references, ArtifactFacts("UNKNOWN", "type"))
    return store_manifest(connection, ensure_repository(connection, repository, NOW), new, NOW)


def used(connection: Connection, project: str) -> int:
    """Return what counts against the project's quota, which is the sum of its parts."""
    found = find_project(connection, project)
    assert found is not None
    state = read_state(connection, found.id)
    assert state is not None
    total = select(func.coalesce(func.sum(project_content.c.size_bytes), 0)).where(
        project_content.c.project_id == found.id
    )
    assert connection.execute(total).scalar_one() == state.used_bytes
    return state.used_bytes


def limit(connection: Connection, project: str, hard_bytes: int) -> int:
    """Set the project's limit and return its id."""
    project_id = ensure_project(connection, project, NOW)
    set_hard_bytes(connection, project_id, hard_bytes, NOW)
    return project_id


def configure(connection: Connection, name: str, value: str) -> None:
    """Change a setting."""
    store_settings(connection, {name: StoredSetting(value)}, NOW)


async def test_blob_counts_once_per_project(database: Database) -> None:
    for repository in ("a/one", "a/two", "b/one", "a/one"):
        await database.write(link, repository, "sha256:1", 100)

    assert await database.read(used, "a") == 100
    assert await database.read(used, "b") == 100


async def test_manifest_counts_with_blobs_that_no_longer_counted(database: Database) -> None:
    await database.write(link, "a/one", "sha256:1", 100)
    manifest_id = await database.write(store, "a/one", "sha256:m", b"12345", "sha256:1")
    assert await database.read(used, "a") == 105

    await database.write(delete_manifest, manifest_id)
    assert await database.read(used, "a") == 0

    await database.write(store, "a/one", "sha256:m", b"12345", "sha256:1")
    assert await database.read(used, "a") == 105


async def test_blob_counts_while_any_manifest_of_the_project_names_it(database: Database) -> None:
    for repository in ("a/one", "a/two", "b/one"):
        await database.write(link, repository, "sha256:1", 100)
    first = await database.write(store, "a/one", "sha256:m", b"12345", "sha256:1")
    second = await database.write(store, "a/two", "sha256:m", b"12345", "sha256:1")
    await database.write(store, "b/one", "sha256:m", b"12345", "sha256:1")

    await database.write(delete_manifest, first)
    assert await database.read(used, "a") == 105
    await database.write(delete_manifest, second)
    assert await database.read(used, "a") == 0
    assert await database.read(used, "b") == 105


async def test_unlinked_blob_counts_while_another_repository_has_it(database: Database) -> None:
    for repository in ("a/one", "a/two"):
        await database.write(link, repository, "sha256:1", 100)

    await database.write(unlink, "a/one", "sha256:1")
    assert await database.read(used, "a") == 100
    await database.write(unlink, "a/two", "sha256:1")
    assert await database.read(used, "a") == 0


async def test_what_does_not_fit_changes_nothing(database: Database) -> None:
    project_id = await database.write(limit, "a", 150)
    await database.write(link, "a/one", "sha256:1", 100)

    with pytest.raises(QuotaExceededError):
        await database.write(link, "a/one", "sha256:2", 51)
    with pytest.raises(QuotaExceededError):
        await database.write(store, "a/one", "sha256:m", b"x" * 51, "sha256:1")
    with pytest.raises(QuotaExceededError):
        await database.read(check_room, project_id, "sha256:2", 51)
    await database.read(check_room, project_id, "sha256:1", 100)

    assert await database.read(used, "a") == 100
    await database.write(link, "a/one", "sha256:2", 50)
    assert await database.read(read_state, project_id) == QuotaState(150, 150)


async def test_limit_below_what_is_used_stops_growth_alone(database: Database) -> None:
    await database.write(link, "a/one", "sha256:1", 100)
    await database.write(limit, "a", 10)

    await database.write(link, "a/two", "sha256:1", 100)
    with pytest.raises(QuotaExceededError):
        await database.write(link, "a/one", "sha256:2", 1)


async def test_quotas_switched_off_are_counted_and_not_enforced(database: Database) -> None:
    await database.write(limit, "a", 10)
    await database.write(configure, "quota_per_project_enable", "false")

    await database.write(link, "a/one", "sha256:1", 100)

    assert await database.read(used, "a") == 100


async def test_new_projects_get_the_limit_of_the_settings(database: Database) -> None:
    await database.write(configure, "storage_per_project", "4096")

    project_id = await database.write(ensure_project, "a", NOW)

    assert await database.read(read_state, project_id) == QuotaState(4096, 0)
    await database.write(add_quota, project_id, 5, NOW)
    assert await database.read(read_state, project_id) == QuotaState(4096, 0)


async def test_writes_at_once_keep_the_sum_right(database: Database, other_database: Database) -> None:
    await database.write(limit, "a", 1000)
    await database.write(ensure_repository, "a/0", NOW)

    async def push(number: int) -> bool:
        chosen = database if number % 2 else other_database
        try:
            await chosen.write(link, f"a/{number % 3}", f"sha256:{number % 20}", 100)
        except QuotaExceededError:
            return False
        return True

    await asyncio.gather(*map(push, range(60)))

    assert await database.read(used, "a") == 1000


async def test_deleting_and_pushing_at_once_keep_the_sum_right(
    database: Database, other_database: Database
) -> None:
    for repository in ("a/one", "a/two"):
        await database.write(link, repository, "sha256:1", 100)

    async def toggle(chosen: Database, repository: str) -> None:
        for _ in range(15):
            manifest_id = await chosen.write(store, repository, f"sha256:{repository}", b"1", "sha256:1")
            await asyncio.sleep(0)
            await chosen.write(delete_manifest, manifest_id)
        await chosen.write(store, repository, f"sha256:{repository}", b"1", "sha256:1")

    await asyncio.gather(toggle(database, "a/one"), toggle(other_database, "a/two"))

    assert await database.read(used, "a") == 102


async def test_quotas_are_listed_by_what_is_used(database: Database) -> None:
    for name, size_bytes in (("a", 5), ("b", 50), ("c", 20)):
        await database.write(link, f"{name}/x", f"sha256:{name}", size_bytes)

    query = ListQuery(orders=(Order("used.storage", is_descending=True),), page_size=2)
    rows, total = await database.read(list_quotas, query)

    assert [(row.project_name, row.used_bytes) for row in rows] == [("b", 50), ("c", 20)]
    assert total == 3
    count = await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(quota)).scalar_one()
    )
    assert count == 3


async def test_projects_from_before_there_were_quotas_get_one(database: Database) -> None:
    await migrate_to(database, "0001")

    def fill(connection: Connection) -> None:
        for statement in (
            """INSERT INTO project (id, name, is_public, created_at)
                VALUES (1, 'a', true, 5), (2, 'b', true, 6)""",
            """INSERT INTO repository (id, project_id, name, created_at)
                VALUES (1, 1, 'a/x', 0), (2, 1, 'a/y', 0)""",
            """INSERT INTO blob (digest, size_bytes, created_at)
                VALUES ('sha256:1', 10, 0), ('sha256:2', 200, 0)""",
            """INSERT INTO repository_blob (repository_id, digest, linked_at)
                VALUES (1, 'sha256:1', 0), (2, 'sha256:1', 0), (2, 'sha256:2', 0)""",
        ):
            connection.execute(text(statement))

    await database.write(fill)
    await upgrade_database(database)

    assert await database.read(used, "a") == 210
    assert await database.read(used, "b") == 0
    assert await database.read(read_state, 2) == QuotaState(UNLIMITED, 0)
