"""Whoever changes the audit records behind the server's back is found out, and so is what was changed."""

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from homeport.auth.audit_key import AuditKey
from homeport.auth.secret import Secret
from homeport.control.audit_verification import AuditVerification
from homeport.db.audit import AuditRecord, add_records
from homeport.db.audit_chain import Checkpoint, Purpose, purge_up_to, read_checkpoints, read_heads, read_links
from homeport.db.engine import Database
from homeport.db.schema import audit_checkpoint, audit_record, audit_stream
from homeport.jobs.audit_checkpoints import WITNESS_FILE, Checkpoints, read_witnesses, sign_point
from homeport.rules.audit_chain import (
    GENESIS,
    PULL_STREAM,
    STREAMS,
    SYSTEM_STREAM,
    ChainPoint,
    Fault,
    Finding,
    link_hash,
    stream_of,
)

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
KEY = AuditKey(Secret("k" * 40))
OTHER_KEY = AuditKey(Secret("o" * 40))
PULL = AuditRecord(
    recorded_at=NOW,
    operation="pull",
    outcome="success",
    principal="alice",
    auth_method="bearer",
    client_address="10.0.0.7",
    user_agent="docker/27 \u00e9 \U0001f433",
    request_id="r-1",
    project="library",
    repository="library/nginx",
    reference="stable",
    digest="sha256:" + "a" * 64,
)
COUNT = 8


@pytest.fixture
async def filled(database: Database) -> Database:
    """Return a database with a stream of pulls and a few other records."""
    pulls = [replace(PULL, request_id=f"r-{number}") for number in range(COUNT)]
    await database.write(add_records, pulls[:5])
    await database.write(add_records, pulls[5:])
    await database.write(add_records, [replace(PULL, operation="push"), replace(PULL, operation="login")])
    changed = replace(
        PULL, operation="update_configuration", project=None, repository=None, before='{"a":1}', after="{}"
    )
    await database.write(add_records, [changed])
    return database


async def find(database: Database, *witnesses: Checkpoint, stream: int | None = None) -> list[Finding]:
    run = AuditVerification(database, KEY, witnesses)
    return [finding async for finding in run.run(stream)]


def forged_row() -> dict[str, object]:
    return asdict(PULL)


def places(findings: list[Finding]) -> list[tuple[Fault, int | None, int | None]]:
    return [(each.fault, each.stream, each.sequence) for each in findings]


def at(sequence: int) -> ColumnElement[bool]:
    return (audit_record.c.stream == PULL_STREAM) & (audit_record.c.sequence == sequence)


async def sign(database: Database, directory: Path) -> int:
    return await Checkpoints(database, KEY, directory).sign()


async def test_untouched_records_are_found_complete(filled: Database, tmp_path: Path) -> None:
    assert await sign(filled, tmp_path) == 4
    assert await sign(filled, tmp_path) == 0

    run = AuditVerification(filled, KEY, read_witnesses(tmp_path / WITNESS_FILE))
    assert [finding async for finding in run.run()] == []
    assert sum(summary.records for summary in run.summaries) == COUNT + 3
    assert all(summary.signed_up_to == summary.last_sequence for summary in run.summaries)


@pytest.mark.parametrize(
    "column",
    ["operation", "outcome", "principal", "client_address", "user_agent", "repository", "detail", "after"],
)
async def test_changed_record_is_named(filled: Database, column: str) -> None:
    def attack(connection: Connection) -> None:
        connection.execute(update(audit_record).where(at(3)).values({column: "mallory"}))

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.CHANGED, PULL_STREAM, 3)]


async def test_changed_time_is_found(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        later = NOW + timedelta(microseconds=1)
        connection.execute(update(audit_record).where(at(3)).values(recorded_at=later))

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.CHANGED, PULL_STREAM, 3)]


async def test_change_with_a_hash_that_fits_shows_in_the_next_record(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        before, found = read_links(connection, PULL_STREAM, 1, 2)
        values = (*found.values[:3], "mallory", *found.values[4:])
        fitting = link_hash(before.hash, PULL_STREAM, 3, values)
        connection.execute(update(audit_record).where(at(3)).values(principal="mallory", hash=fitting))

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.CHANGED, PULL_STREAM, 4)]


async def test_deleted_record_is_named(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        connection.execute(delete(audit_record).where(at(3)))

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.MISSING, PULL_STREAM, 3)]


async def test_deleted_record_whose_followers_moved_up_is_found(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        connection.execute(delete(audit_record).where(at(3)))
        for sequence in range(4, COUNT + 1):
            connection.execute(update(audit_record).where(at(sequence)).values(sequence=sequence - 1))
        connection.execute(
            update(audit_stream).where(audit_stream.c.stream == PULL_STREAM).values(sequence=COUNT - 1)
        )

    await filled.write(attack)

    assert (Fault.CHANGED, PULL_STREAM, 3) in places(await find(filled))


async def test_inserted_record_is_found(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        row = forged_row()
        connection.execute(insert(audit_record).values(row))
        connection.execute(
            insert(audit_record).values(row | {"stream": PULL_STREAM, "sequence": COUNT + 1, "hash": GENESIS})
        )

    await filled.write(attack)

    assert places(await find(filled)) == [
        (Fault.INSERTED, None, None),
        (Fault.CHANGED, PULL_STREAM, COUNT + 1),
        (Fault.INSERTED, PULL_STREAM, COUNT + 1),
    ]


async def test_inserted_record_that_pushes_others_back_is_found(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        for sequence in range(COUNT, 2, -1):
            connection.execute(update(audit_record).where(at(sequence)).values(sequence=sequence + 1))
        row = forged_row() | {"stream": PULL_STREAM, "sequence": 3, "hash": GENESIS}
        connection.execute(insert(audit_record).values(row))
        connection.execute(
            update(audit_stream).where(audit_stream.c.stream == PULL_STREAM).values(sequence=COUNT + 1)
        )

    await filled.write(attack)

    found = places(await find(filled))
    assert found[:2] == [(Fault.CHANGED, PULL_STREAM, 3), (Fault.REORDERED, PULL_STREAM, 4)]


async def test_swapped_records_are_named(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        for old, new in ((3, 1000), (5, 3), (1000, 5)):
            connection.execute(update(audit_record).where(at(old)).values(sequence=new))

    await filled.write(attack)

    found = places(await find(filled))
    assert {(Fault.CHANGED, PULL_STREAM, 3), (Fault.CHANGED, PULL_STREAM, 5)} <= set(found)
    assert any(fault is Fault.REORDERED for fault, _, _ in found)


async def test_cut_end_is_found(filled: Database) -> None:
    def attack(connection: Connection) -> None:
        connection.execute(
            delete(audit_record).where(audit_record.c.stream == PULL_STREAM, audit_record.c.sequence > 5)
        )

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.MISSING, PULL_STREAM, 6)]


async def test_cut_end_with_a_head_that_fits_is_found_by_a_checkpoint(
    filled: Database, tmp_path: Path
) -> None:
    await sign(filled, tmp_path)

    await filled.write(cut_end)

    assert places(await find(filled)) == [(Fault.MISSING, PULL_STREAM, 6)]


async def test_cut_end_without_checkpoints_is_found_by_those_outside_the_database(
    filled: Database, tmp_path: Path
) -> None:
    await sign(filled, tmp_path)

    await filled.write(cut_end)
    await filled.write(lambda connection: connection.execute(delete(audit_checkpoint)))

    assert places(await find(filled)) == []
    witnesses = read_witnesses(tmp_path / WITNESS_FILE)
    assert places(await find(filled, *witnesses)) == [(Fault.MISSING, PULL_STREAM, 6)]


def cut_end(connection: Connection) -> None:
    """Cut the newest three pulls off and let the stream's head fit."""
    links = read_links(connection, PULL_STREAM, 4, 1)
    connection.execute(
        delete(audit_record).where(audit_record.c.stream == PULL_STREAM, audit_record.c.sequence > 5)
    )
    connection.execute(
        update(audit_stream)
        .where(audit_stream.c.stream == PULL_STREAM)
        .values(sequence=5, hash=links[0].hash)
    )


async def test_history_written_anew_is_found_by_a_checkpoint(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)

    await filled.write(rewrite)

    found = await find(filled)
    assert places(found) == [(Fault.REWRITTEN, PULL_STREAM, COUNT)]


async def test_checkpoints_of_another_key_are_not_believed(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)
    await filled.write(rewrite)

    def forge(connection: Connection) -> None:
        head = read_heads(connection)[PULL_STREAM]
        connection.execute(delete(audit_checkpoint).where(audit_checkpoint.c.stream == PULL_STREAM))
        forged = sign_point(OTHER_KEY, head, Purpose.CHECKPOINT)
        connection.execute(
            insert(audit_checkpoint).values(
                stream=head.stream,
                sequence=head.sequence,
                purpose="checkpoint",
                hash=head.hash,
                kid=KEY.kid,
                signature=forged.signature,
                created_at=forged.created_at,
            )
        )

    await filled.write(forge)

    assert places(await find(filled)) == [(Fault.FORGED, PULL_STREAM, COUNT)]


def rewrite(connection: Connection) -> None:
    """Change a record and make every hash after it fit, as somebody who knows the rules would."""
    connection.execute(update(audit_record).where(at(3)).values(principal="mallory"))
    previous = GENESIS
    for link in read_links(connection, PULL_STREAM, 0, 100):
        previous = link_hash(previous, PULL_STREAM, link.sequence, link.values)
        connection.execute(update(audit_record).where(at(link.sequence)).values(hash=previous))
    connection.execute(update(audit_stream).where(audit_stream.c.stream == PULL_STREAM).values(hash=previous))


async def test_emptied_stream_is_found(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)

    def attack(connection: Connection) -> None:
        for table in (audit_record, audit_stream):
            connection.execute(delete(table).where(table.c.stream == SYSTEM_STREAM))

    await filled.write(attack)

    assert places(await find(filled)) == [(Fault.MISSING, SYSTEM_STREAM, 1)]


async def test_purged_records_are_no_fault_and_forged_purges_are(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)
    link = (await filled.read(read_links, PULL_STREAM, 3, 1))[0]
    point = ChainPoint(PULL_STREAM, link.sequence, link.hash)

    await filled.write(purge_up_to, sign_point(KEY, point, Purpose.PURGED))
    assert places(await find(filled)) == []

    await filled.write(lambda connection: connection.execute(delete(audit_record).where(at(5))))
    assert places(await find(filled)) == [(Fault.MISSING, PULL_STREAM, 5)]


async def test_checkpoint_does_not_pass_for_a_purge(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)

    def attack(connection: Connection) -> None:
        connection.execute(update(audit_checkpoint).values(purpose="purged"))
        connection.execute(delete(audit_record).where(audit_record.c.stream == PULL_STREAM))

    await filled.write(attack)

    assert (Fault.FORGED, PULL_STREAM, COUNT) in places(await find(filled))
    assert (Fault.MISSING, PULL_STREAM, 1) in places(await find(filled))


async def test_records_written_side_by_side_form_whole_chains(
    database: Database, other_database: Database
) -> None:
    async def write(base: Database, number: int) -> None:
        records = [
            replace(
                PULL, operation="push", project=f"p{(number + shift) % 7}", request_id=f"{number}-{shift}"
            )
            for shift in (0, 3, 1)
        ]
        await base.write(add_records, records)

    await asyncio.gather(*(write((database, other_database)[n % 2], n) for n in range(60)))

    assert await find(database) == []
    heads = await database.read(read_heads)
    assert sum(head.sequence for head in heads.values()) == 180


async def test_records_are_verified_while_others_are_written(
    filled: Database, other_database: Database
) -> None:
    async def write() -> None:
        for number in range(40):
            await other_database.write(add_records, [replace(PULL, request_id=f"w-{number}")] * 50)

    writer = asyncio.create_task(write())
    findings = []
    while not writer.done():
        findings += await find(filled)
        await asyncio.sleep(0)
    await writer

    assert findings == []


def test_streams_of_operations_are_known() -> None:
    for operation in ("pull", "push", "login", "denial", "update_user"):
        for project in (None, "library", "x" * 255):
            assert stream_of(operation, project, "alice") in STREAMS


async def test_damaged_witness_file_is_read_as_far_as_it_goes(filled: Database, tmp_path: Path) -> None:
    await sign(filled, tmp_path)
    path = tmp_path / WITNESS_FILE
    whole = await filled.read(read_checkpoints)
    path.write_text(path.read_text() + "{}\nrubbish\n")

    assert len(read_witnesses(path)) == len(whole)
    assert read_witnesses(tmp_path / "missing") == []
    assert await filled.read(lambda connection: connection.execute(select(audit_checkpoint)).first())
