"""Purging keeps to ages and kinds, and what it leaves can still be verified."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeport.auth.audit_key import AuditKey
from homeport.auth.configuration import ConfigurationReader, prepare_setting
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.control.audit_verification import AuditVerification
from homeport.db.audit import AuditFilter, AuditRecord, add_records
from homeport.db.audit_search import list_records
from homeport.db.engine import Database
from homeport.db.settings import store_settings
from homeport.jobs.audit_checkpoints import WITNESS_FILE, Checkpoints, read_witnesses
from homeport.jobs.audit_purge import AuditPurge

pytestmark = pytest.mark.anyio

SEALER = Sealer(Secret("s" * 40))
KEY = AuditKey(Secret("k" * 40))
NOW = datetime.now(UTC)
RECORD = AuditRecord(
    recorded_at=NOW,
    operation="push",
    outcome="success",
    principal="alice",
    auth_method="bearer",
    client_address="10.0.0.7",
    user_agent="docker/27",
    request_id="",
    project="library",
)


async def keep(database: Database, **days: int) -> AuditPurge:
    names = {f"audit_retention_{kind}_days": value for kind, value in days.items()}
    stored = {name: prepare_setting(name, value, SEALER) for name, value in names.items()}
    await database.write(store_settings, stored, NOW)
    return AuditPurge(database, KEY, ConfigurationReader(database, SEALER))


async def left(database: Database) -> list[str]:
    rows = await database.read(list_records, AuditFilter(), limit=1000)
    return sorted(f"{record.operation} {record.request_id}".strip() for _, record in rows)


async def fill(database: Database) -> None:
    """Add records of every kind that are 40, 20 and 0 days old."""
    for age in (40, 20, 0):
        records = [
            replace(RECORD, operation=operation, recorded_at=NOW - timedelta(days=age), request_id=f"{age}")
            for operation in ("pull", "login", "push")
        ]
        await database.write(add_records, records)


async def verify(database: Database, directory: Path) -> list[str]:
    run = AuditVerification(database, KEY, read_witnesses(directory / WITNESS_FILE))
    return [finding.explanation async for finding in run.run()]


async def test_nothing_is_purged_by_default(database: Database) -> None:
    await fill(database)

    assert await (await keep(database)).run() == 0


async def test_each_kind_is_kept_for_its_time(database: Database, tmp_path: Path) -> None:
    await fill(database)
    checkpoints = Checkpoints(database, KEY, tmp_path)
    await checkpoints.sign()
    purge = await keep(database, pull=10, access=30)

    assert await purge.run() == 3
    assert await left(database) == [
        "login 0",
        "login 20",
        "pull 0",
        "purge_audit",
        "purge_audit",
        "push 0",
        "push 20",
        "push 40",
    ]
    assert await verify(database, tmp_path) == []
    assert await purge.run() == 0

    await fill(database)
    await checkpoints.sign()
    assert await verify(database, tmp_path) == []


async def test_newest_record_of_a_stream_stays(database: Database, tmp_path: Path) -> None:
    old = replace(RECORD, recorded_at=NOW - timedelta(days=400))
    await database.write(add_records, [replace(old, request_id=str(number)) for number in range(5)])

    assert await (await keep(database, change=1)).run() == 4
    assert await left(database) == ["purge_audit", "push 4"]
    assert await verify(database, tmp_path) == []


async def test_large_purge_goes_part_by_part_while_others_verify(
    database: Database, other_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.jobs.audit_purge._PART", 7)
    monkeypatch.setattr("homeport.control.audit_verification._PART", 5)
    old = replace(RECORD, recorded_at=NOW - timedelta(days=400))
    await database.write(add_records, [replace(old, request_id=str(number)) for number in range(100)])
    purging = asyncio.create_task((await keep(other_database, change=1)).run())
    findings = []
    while not purging.done():
        findings += await verify(database, tmp_path)
        await asyncio.sleep(0)

    assert await purging == 99
    assert findings == []
