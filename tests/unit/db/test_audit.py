"""Audit records on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.audit import (
    AuditFilter,
    AuditRecord,
    add_records,
    forget_journal,
    journal_offset,
    take_in,
)
from homeport.db.audit_search import list_records
from homeport.db.engine import Database
from homeport.db.settings import StoredSetting, store_settings

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
PUSH = AuditRecord(
    recorded_at=NOW,
    operation="push",
    outcome="success",
    principal="admin",
    auth_method="bearer",
    client_address="10.0.0.7",
    user_agent="skopeo/1.9.3",
    request_id="r-1",
    project="library",
    repository="library/nginx",
    reference="stable",
    digest="sha256:" + "a" * 64,
    detail="tags: stable",
)


async def test_record_comes_back_as_it_was_written(database: Database) -> None:
    bare = replace(PUSH, project=None, repository=None, reference=None, digest=None, detail=None)
    await database.write(add_records, [PUSH, bare])

    assert await database.read(list_records, AuditFilter(), limit=10) == [(2, bare), (1, PUSH)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AuditFilter(), ["r-3", "r-2", "r-1"]),
        (AuditFilter(operation="pull"), ["r-2"]),
        (AuditFilter(outcome="denied"), ["r-3"]),
        (AuditFilter(principal="eve"), ["r-3"]),
        (AuditFilter(client_address="10.0.0.7"), ["r-2", "r-1"]),
        (AuditFilter(project="other"), ["r-2"]),
        (AuditFilter(repository="library/nginx"), ["r-3", "r-1"]),
        (AuditFilter(digest=PUSH.digest), ["r-3", "r-2", "r-1"]),
        (AuditFilter(request_id="r-2"), ["r-2"]),
        (AuditFilter(since=NOW + timedelta(hours=1)), ["r-3", "r-2"]),
        (AuditFilter(until=NOW + timedelta(hours=1)), ["r-1"]),
        (AuditFilter(since=NOW + timedelta(hours=1), operation="denial"), ["r-3"]),
        (AuditFilter(principal="' OR 1=1 --"), []),
    ],
)
async def test_list_is_filtered(database: Database, wanted: AuditFilter, expected: list[str]) -> None:
    pull = replace(
        PUSH,
        recorded_at=NOW + timedelta(hours=1),
        operation="pull",
        project="other",
        repository="other/x",
        request_id="r-2",
    )
    denial = replace(
        PUSH,
        recorded_at=NOW + timedelta(hours=2),
        operation="denial",
        outcome="denied",
        principal="eve",
        client_address="10.0.0.8",
        request_id="r-3",
    )
    await database.write(add_records, [PUSH, pull, denial])

    records = await database.read(list_records, wanted, limit=10)

    assert [record.request_id for _, record in records] == expected


async def test_journal_is_taken_in_with_its_position(database: Database) -> None:
    await database.write(take_in, "1-2.pulls", [PUSH], 100)
    await database.write(take_in, "1-2.pulls", [PUSH], 200)

    assert await database.read(journal_offset, "1-2.pulls") == 200
    assert await database.read(journal_offset, "other.pulls") == 0
    assert len(await database.read(list_records, AuditFilter(), limit=10)) == 2

    await database.write(forget_journal, "1-2.pulls")
    assert await database.read(journal_offset, "1-2.pulls") == 0


async def test_events_that_are_disabled_are_not_recorded(database: Database) -> None:
    settings = {
        "disabled_audit_log_event_types": StoredSetting('"create_artifact,login_user"'),
        "pull_audit_log_disable": StoredSetting("true"),
    }
    await database.write(store_settings, settings, NOW)
    operations = ("push", "pull", "login", "delete")
    records = [replace(PUSH, operation=operation) for operation in operations]
    denied = replace(PUSH, operation="login", outcome="failure")
    await database.write(add_records, [*records, denied])

    found = await database.read(list_records, AuditFilter(), limit=10)
    assert {(record.operation, record.outcome) for _, record in found} == {
        ("delete", "success"),
        ("login", "failure"),
    }
