"""How far each target has got the audit records: a position per stream, the table itself is the spool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from homeport.db.audit import FIELDS, AuditRecord
from homeport.db.dialect import insert_or_replace
from homeport.db.schema import audit_forward, audit_record, audit_stream, setting


@dataclass(frozen=True, slots=True)
class ChainedRecord:
    """A record with its place in the chain."""

    record_id: int
    stream: int
    sequence: int
    hash: str
    record: AuditRecord


def start_target(connection: Connection, target: str, setting_name: str) -> None:
    """Let a new target begin with what was recorded since its setting was changed; a known one goes on."""
    columns = audit_forward.c
    if connection.execute(select(columns.stream).where(columns.target == target).limit(1)).first():
        return
    changed_at = connection.execute(
        select(setting.c.updated_at).where(setting.c.name == setting_name)
    ).scalar()
    since = changed_at or datetime.now(UTC)
    firsts = (
        select(audit_record.c.stream, func.min(audit_record.c.sequence))
        .where(audit_record.c.recorded_at >= since)
        .group_by(audit_record.c.stream)
    )
    first = {row[0]: row[1] for row in connection.execute(firsts)}
    heads = connection.execute(select(audit_stream.c.stream, audit_stream.c.sequence)).all()
    store_positions(
        connection, target, {stream: first.get(stream, head + 1) - 1 for stream, head in heads} or {0: 0}
    )


def read_positions(connection: Connection, target: str) -> dict[int, int]:
    """Return the sequence of the last record of each stream that the target has."""
    columns = audit_forward.c
    statement = select(columns.stream, columns.sequence).where(columns.target == target)
    return {row[0]: row[1] for row in connection.execute(statement)}


def store_positions(connection: Connection, target: str, positions: Mapping[int, int]) -> None:
    """Remember what the target has."""
    now = datetime.now(UTC)
    for stream, sequence in positions.items():
        row = {"target": target, "stream": stream, "sequence": sequence, "updated_at": now}
        insert_or_replace(connection, audit_forward, row)


def read_waiting(connection: Connection, positions: Mapping[int, int], limit: int) -> list[ChainedRecord]:
    """Return the next records behind the positions, stream by stream, at most `limit`.

    A stream without a position is read from its start: it began after the target did.
    """
    heads = connection.execute(
        select(audit_stream.c.stream, audit_stream.c.sequence).order_by(audit_stream.c.stream)
    ).all()
    waiting: list[ChainedRecord] = []
    for stream, head in heads:
        after = positions.get(stream, 0)
        if after < head and len(waiting) < limit:
            waiting += _read_stream(connection, stream, after, limit - len(waiting))
    return waiting


def forwarded_up_to(connection: Connection, targets: Sequence[str], stream: int) -> int:
    """Return the last record of the stream that every one of the targets has."""
    columns = audit_forward.c
    statement = select(columns.target, columns.sequence).where(
        columns.target.in_(targets), columns.stream == stream
    )
    found = {row[0]: row[1] for row in connection.execute(statement)}
    return min((found.get(target, 0) for target in targets), default=0)


def _read_stream(connection: Connection, stream: int, after: int, limit: int) -> list[ChainedRecord]:
    columns = audit_record.c
    statement = (
        select(columns.id, columns.sequence, columns.hash, *(columns[name] for name in FIELDS))
        .where(columns.stream == stream, columns.sequence > after)
        .order_by(columns.sequence)
        .limit(limit)
    )
    return [
        ChainedRecord(row[0], stream, row[1], row[2], AuditRecord(*row[3:]))
        for row in connection.execute(statement)
    ]
