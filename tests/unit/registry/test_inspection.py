"""An inspection of what is whole finds nothing; each kind of damage is found, once, and named."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, text
from tests.unit.registry.contents import (
    REPOSITORY,
    Contents,
    image_of,
    index_of,
    push_blob,
    push_contents,
    push_manifest,
)

from homeport.blobs.directory import DirectoryStore
from homeport.db.contents import unlink_blob
from homeport.db.engine import Database, open_database
from homeport.db.inspection import Counts
from homeport.db.upgrade import upgrade_database
from homeport.oci.digest import Digest
from homeport.registry.findings import ADVICE, FindingKind
from homeport.registry.inspection import InspectionListener, InspectionOptions, Report, inspect

pytestmark = pytest.mark.anyio

OPTIONS = InspectionOptions(reads_content=True, uploads_expire_before=datetime.now(UTC) - timedelta(days=7))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryStore]:
    """Return an empty store."""
    opened = DirectoryStore(tmp_path / "store")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def contents(database: Database, store: DirectoryStore) -> Contents:
    """Fill the database and the store."""
    return await push_contents(database, store)


def execute(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


async def damage(database: Database, *statements: str) -> None:
    """Change rows as no code of ours does."""
    for statement in statements:
        await database.write(execute, statement)


def break_links(url: str, statement: str) -> None:
    """Change rows although others point to them."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute(statement)
            connection.commit()
    else:
        asyncio.run(_break_links(url, statement))


async def _break_links(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(statement)
    finally:
        await connection.close()


def kinds(report: Report) -> list[FindingKind]:
    return [finding.kind for finding in report.findings]


async def test_empty_registry_is_healthy(database: Database, store: DirectoryStore) -> None:
    report = await inspect(database, store, OPTIONS)

    assert report == Report(Counts(0, 0, 0, 0, 0, 0), 0, 0, ())
    assert report.is_healthy


async def test_whole_registry_is_healthy_and_counted(
    database: Database, store: DirectoryStore, contents: Contents
) -> None:
    del contents

    report = await inspect(database, store, OPTIONS)

    assert report == Report(Counts(1, 1, 3, 2, 2, 5002), 0, 0, ())


async def test_progress_reaches_its_end(
    database: Database, store: DirectoryStore, contents: Contents
) -> None:
    del contents
    seen: dict[str, tuple[int, int]] = {}
    listener = InspectionListener(
        lambda _finding: None, lambda what, done, total: seen.update({what: (done, total)})
    )

    await inspect(database, store, OPTIONS, listener)

    assert seen == {"database": (1, 1), "manifests": (3, 3), "blobs": (2, 2), "files": (2, 2)}


OTHER = "insert into repository (id, project_id, name, created_at) select 99, id, 'library/b', 0 from project"
SWAP = (
    "update manifest_body set body = (select body from manifest_body where digest = '{index}')"
    " where digest = '{image}'"
)


@pytest.mark.parametrize(
    ("statements", "kind", "subject"),
    [
        ((OTHER, "update tag set repository_id = 99 where name = 'image'"), "tag_astray", "library/b:image"),
        (("update repository set name = 'other/app'",), "repository_misplaced", "other/app"),
        ((SWAP,), "manifest_damaged", "{image}"),
        (("update manifest set size_bytes = 1 where digest = '{index}'",), "manifest_misrecorded", "{index}"),
        (("update manifest set subject_digest = null",), "manifest_misrecorded", "{referrer}"),
        (
            ("update manifest set referrer_type = 'x' where digest = '{referrer}'",),
            "manifest_misrecorded",
            "{referrer}",
        ),
        (("update manifest set annotations = null",), "manifest_misrecorded", "{image}"),
        (
            ("update manifest set media_type = 'text/plain' where digest = '{referrer}'",),
            "manifest_misrecorded",
            "{referrer}",
        ),
        (("delete from manifest_reference where kind = 'layer'",), "manifest_misrecorded", "{image}"),
        (("delete from repository_blob where digest = '{layer}'",), "content_missing", "{image}"),
        (
            ("update manifest_reference set kind = 'blob' where kind = 'manifest'",),
            "content_missing",
            "{index}",
        ),
        (("update quota set used_bytes = used_bytes + 1",), "quota_miscounted", "library"),
        (("update blob set size_bytes = 7 where digest = '{layer}'",), "blob_size_wrong", "{layer}"),
    ],
)
async def test_damage_in_the_database_is_found(  # noqa: PLR0917 - fixtures and a table
    database: Database,
    store: DirectoryStore,
    contents: Contents,
    statements: tuple[str, ...],
    kind: str,
    subject: str,
) -> None:
    names = {name: str(getattr(contents, name)) for name in Contents.__slots__}
    await damage(database, *(statement.format(**names) for statement in statements))

    report = await inspect(database, store, OPTIONS)

    expected = subject.format(**names)
    found = [(f.kind.value, f.subject.rpartition("@")[2]) for f in report.findings if f.is_damage]
    assert found == [(kind, expected)]
    assert (report.damages, report.is_healthy) == (1, False)


@pytest.mark.parametrize(
    ("statement", "kind", "subject"),
    [
        ("delete from manifest_body where digest = '{image}'", "manifest_missing", f"{REPOSITORY}@{{image}}"),
        ("delete from blob where digest = '{layer}'", "link_astray", f"{REPOSITORY}@{{layer}}"),
        (
            "delete from manifest where digest = '{index}'",
            "tag_astray",
            f"{REPOSITORY}:latest",
        ),
    ],
)
async def test_broken_link_in_the_database_is_found(  # noqa: PLR0917 - fixtures and a table
    database: Database,
    store: DirectoryStore,
    contents: Contents,
    database_url: str,
    statement: str,
    kind: str,
    subject: str,
) -> None:
    names = {name: str(getattr(contents, name)) for name in Contents.__slots__}
    await asyncio.to_thread(break_links, database_url, statement.format(**names))

    report = await inspect(database, store, OPTIONS)

    assert (kind, subject.format(**names)) in [(f.kind.value, f.subject) for f in report.findings]


async def test_damaged_database_file_is_found(tmp_path: Path, store: DirectoryStore) -> None:
    path = tmp_path / "homeport.db"
    database = open_database(f"sqlite:///{path}", tmp_path / "run")
    await database.open()
    await upgrade_database(database)
    for number in range(50):
        await push_image(database, store, number)
    await database.close()
    content = path.read_bytes()
    path.write_bytes(content[:-5000] + b"x" * 5000)
    await database.open()

    report = await inspect(database, store, OPTIONS)
    await database.close()

    assert FindingKind.DATABASE_DAMAGED in kinds(report)
    assert not report.is_healthy


async def test_lost_blob_is_found(database: Database, store: DirectoryStore, contents: Contents) -> None:
    await store.delete(contents.layer)

    report = await inspect(database, store, OPTIONS)

    assert [(f.kind, f.subject) for f in report.findings] == [
        (FindingKind.BLOB_MISSING, f"{REPOSITORY}@{contents.layer}")
    ]


async def test_changed_blob_is_found_by_reading_it(
    database: Database, store: DirectoryStore, contents: Contents
) -> None:
    store.local_path(contents.layer).write_bytes(b"Layer" * 1000)

    report = await inspect(database, store, OPTIONS)
    quick = await inspect(database, store, replace(OPTIONS, reads_content=False))

    assert kinds(report) == [FindingKind.BLOB_DAMAGED]
    assert quick.is_healthy


async def test_cut_blob_is_found_without_reading_it(
    database: Database, store: DirectoryStore, contents: Contents
) -> None:
    store.local_path(contents.layer).write_bytes(b"layer")

    report = await inspect(database, store, replace(OPTIONS, reads_content=False))

    assert kinds(report) == [FindingKind.BLOB_SIZE_WRONG]


async def test_file_that_is_no_blob_is_found(
    database: Database, store: DirectoryStore, contents: Contents, tmp_path: Path
) -> None:
    blobs = tmp_path / "store" / "blobs"
    wrong_shard = blobs / "sha256" / ("00" if contents.layer.encoded[:2] != "00" else "01")
    strays = [
        blobs / "x",
        blobs / "sha256" / "zz",
        wrong_shard / contents.layer.encoded,
        wrong_shard / "a.tmp",
    ]
    for path in strays:
        path.write_bytes(b"")

    report = await inspect(database, store, OPTIONS)

    assert set(kinds(report)) == {FindingKind.STRAY_FILE}
    assert sorted(finding.subject for finding in report.findings) == sorted(
        str(path.relative_to(tmp_path / "store")) for path in strays
    )


async def test_blob_in_no_repository_is_a_note(
    database: Database, store: DirectoryStore, contents: Contents
) -> None:
    digest = await push_blob(database, store, b"unlinked")
    await database.write(unlink_blob, 1, str(digest))
    await store.put(Digest.of(b"unknown"), b"unknown")

    report = await inspect(database, store, OPTIONS)

    assert [(f.kind, f.message) for f in report.findings] == [
        (FindingKind.BLOBS_UNLINKED, "2 blobs with 15 bytes are in no repository")
    ]
    assert report.counts.blobs == len({contents.config, contents.layer})
    assert report.is_healthy


async def test_changed_blob_in_no_repository_is_found(database: Database, store: DirectoryStore) -> None:
    await store.put(Digest.of(b"unknown"), b"unknown")
    store.local_path(Digest.of(b"unknown")).write_bytes(b"changed")

    report = await inspect(database, store, OPTIONS)

    assert kinds(report) == [FindingKind.BLOB_DAMAGED, FindingKind.BLOBS_UNLINKED]


async def test_uploads_are_notes(database: Database, store: DirectoryStore) -> None:
    await store.open_upload("library/app")

    report = await inspect(database, store, OPTIONS)
    later = await inspect(
        database, store, replace(OPTIONS, uploads_expire_before=datetime.now(UTC) + timedelta(seconds=1))
    )

    assert kinds(report) == [FindingKind.UPLOADS_UNFINISHED]
    assert kinds(later) == [FindingKind.UPLOADS_EXPIRED]
    assert report.is_healthy
    assert later.is_healthy


async def test_wrong_size_in_a_manifest_is_a_note(database: Database, store: DirectoryStore) -> None:
    await push_blob(database, store, b"{}")
    body = image_of(b"{}").replace(b'"size": 2', b'"size": 3')
    await push_manifest(database, body, "latest", store=store)

    report = await inspect(database, store, OPTIONS)

    assert kinds(report) == [FindingKind.SIZE_CLAIM_WRONG]
    assert report.is_healthy


async def test_absent_manifest_of_a_sparse_index_is_no_damage(
    database: Database, store: DirectoryStore
) -> None:
    await push_blob(database, store, b"{}")
    image = image_of(b"{}")
    await push_manifest(database, index_of(image), "latest", store=store, is_sparse=True)
    absent = await inspect(database, store, OPTIONS)
    await push_manifest(database, image, "image", store=store)
    arrived = await inspect(database, store, OPTIONS)

    assert kinds(absent) == []
    assert kinds(arrived) == [FindingKind.CHILD_ARRIVED]


async def test_pages_of_any_size_see_everything(
    database: Database, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        await push_image(database, store, number)
    for name, size in (("_PAGE_MANIFESTS", 2), ("_PAGE_BLOBS", 3), ("_PAGE_BYTES", 1)):
        monkeypatch.setattr(f"homeport.registry.inspection.{name}", size)

    report = await inspect(database, store, OPTIONS)

    assert report == Report(Counts(1, 1, 7, 7, 8, 9), 0, 0, ())


async def push_image(database: Database, store: DirectoryStore, number: int) -> None:
    await push_blob(database, store, b"{}")
    await push_blob(database, store, b"%d" % number)
    await push_manifest(database, image_of(b"{}", b"%d" % number), f"v{number}", store=store)


def test_every_kind_has_advice() -> None:
    assert set(ADVICE) == set(FindingKind)
