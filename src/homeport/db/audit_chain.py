"""The streams of audit records: their heads, links, signed checkpoints, and purging from the start."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, delete, func, insert, or_, select

from homeport.db.audit import FIELDS
from homeport.db.dialect import insert_or_keep
from homeport.db.schema import EPOCH, MICROSECOND, audit_checkpoint, audit_record, audit_stream
from homeport.rules.audit_chain import STREAMS, ChainPoint, Link, checkpoint_message


class Purpose(StrEnum):
    """What a signed point of a stream says."""

    CHECKPOINT = "checkpoint"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point of a stream with the signature that binds it.

    As a checkpoint: the stream was like this at that time. As purged: it and all before was deleted on
    purpose.
    """

    point: ChainPoint
    purpose: Purpose
    kid: str
    signature: str
    created_at: datetime

    @property
    def message(self) -> bytes:
        """The bytes that the signature covers."""
        return checkpoint_message(self.point, self.purpose, (self.created_at - EPOCH) // MICROSECOND)


def read_heads(connection: Connection) -> dict[int, ChainPoint]:
    """Return where every stream ends."""
    statement = select(audit_stream.c.stream, audit_stream.c.sequence, audit_stream.c.hash)
    return {row[0]: ChainPoint(*row) for row in connection.execute(statement)}


def read_links(connection: Connection, stream: int, after: int, limit: int) -> list[Link]:
    """Return the next records of a stream as the table has them, in the order of their sequences."""
    columns = [audit_record.c[name] for name in FIELDS[1:]]
    statement = (
        select(
            audit_record.c.id,
            audit_record.c.sequence,
            audit_record.c.hash,
            audit_record.c.recorded_at,
            *columns,
        )
        .where(audit_record.c.stream == stream, audit_record.c.sequence > after)
        .order_by(audit_record.c.sequence)
        .limit(limit)
    )
    return [
        Link(row[0], row[1], row[2] or "", ((row[3] - EPOCH) // MICROSECOND, *row[4:]))
        for row in connection.execute(statement)
    ]


def find_unchained(connection: Connection, limit: int) -> list[int]:
    """Return ids of records that belong to no stream; the server writes none."""
    statement = select(audit_record.c.id).where(
        or_(
            audit_record.c.stream.is_(None),
            audit_record.c.sequence.is_(None),
            audit_record.c.sequence < 1,
            audit_record.c.stream.not_in(STREAMS),
        )
    )
    return list(connection.execute(statement.limit(limit)).scalars())


def read_checkpoints(connection: Connection) -> list[Checkpoint]:
    """Return every checkpoint, the oldest first."""
    columns = audit_checkpoint.c
    statement = select(
        columns.stream,
        columns.sequence,
        columns.hash,
        columns.purpose,
        columns.kid,
        columns.signature,
        columns.created_at,
    ).order_by(columns.created_at, columns.stream)
    return [
        Checkpoint(ChainPoint(row[0], row[1], row[2]), Purpose(row[3]), *row[4:])
        for row in connection.execute(statement)
        if row[3] in set(Purpose)
    ]


def newest_checkpoints(connection: Connection) -> dict[int, tuple[int, datetime]]:
    """Return for every stream the sequence and time of its newest checkpoint."""
    columns = audit_checkpoint.c
    statement = (
        select(columns.stream, func.max(columns.sequence), func.max(columns.created_at))
        .where(columns.purpose == Purpose.CHECKPOINT)
        .group_by(columns.stream)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(statement)}


def add_checkpoints(connection: Connection, checkpoints: Sequence[Checkpoint]) -> None:
    """Store the checkpoints; one that is there already stays."""
    insert_or_keep(connection, audit_checkpoint, [_row(checkpoint) for checkpoint in checkpoints])


def forget_checkpoints(connection: Connection, before: datetime) -> int:
    """Delete checkpoints older than that, but never a stream's newest, which covers all before it."""
    columns = audit_checkpoint.c
    kept = [
        (columns.stream != stream) | (columns.sequence < sequence)
        for stream, (sequence, _) in newest_checkpoints(connection).items()
    ]
    statement = delete(audit_checkpoint).where(
        columns.purpose == Purpose.CHECKPOINT, columns.created_at < before, *kept
    )
    return connection.execute(statement).rowcount


def find_purge_point(
    connection: Connection, stream: int, before: datetime, not_behind: int | None, limit: int
) -> ChainPoint | None:
    """Return the record up to which the stream may be purged, at most `limit` records on.

    All up to it are older than `before` and not behind `not_behind`. The last record of a stream stays, so
    that its ids and its place are not used again.
    """
    columns = audit_record.c
    head = connection.execute(select(audit_stream.c.sequence).where(audit_stream.c.stream == stream)).scalar()
    if head is None:
        return None
    last = head - 1 if not_behind is None else min(head - 1, not_behind)
    first = (
        select(columns.sequence, columns.hash, columns.recorded_at)
        .where(columns.stream == stream, columns.sequence <= last)
        .order_by(columns.sequence)
        .limit(limit)
    )
    point: ChainPoint | None = None
    for sequence, link_hash, recorded_at in connection.execute(first):
        if recorded_at >= before:
            break
        point = ChainPoint(stream, sequence, link_hash)
    return point


def purge_up_to(connection: Connection, purged: Checkpoint) -> int:
    """Delete the stream's records up to the point and keep the signed point; returns how many."""
    point, columns = purged.point, audit_checkpoint.c
    connection.execute(
        delete(audit_checkpoint).where(
            columns.stream == point.stream,
            or_(columns.purpose == Purpose.PURGED, columns.sequence < point.sequence),
        )
    )
    connection.execute(insert(audit_checkpoint).values(_row(purged)))
    return connection.execute(
        delete(audit_record).where(
            audit_record.c.stream == point.stream, audit_record.c.sequence <= point.sequence
        )
    ).rowcount


def _row(checkpoint: Checkpoint) -> dict[str, object]:
    point = checkpoint.point
    return {
        "stream": point.stream,
        "sequence": point.sequence,
        "purpose": str(checkpoint.purpose),
        "hash": point.hash,
        "kid": checkpoint.kid,
        "signature": checkpoint.signature,
        "created_at": checkpoint.created_at,
    }
