"""Audit records: written once, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from homeport.db.dialect import insert_or_replace
from homeport.db.schema import EPOCH, MICROSECOND, audit_record, journal_position


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, from where, to what, and how it ended."""

    recorded_at: datetime
    operation: str
    outcome: str
    principal: str
    auth_method: str
    client_address: str
    user_agent: str
    request_id: str
    project: str | None = None
    repository: str | None = None
    reference: str | None = None
    digest: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records to list; an empty field does not restrict."""

    since: datetime | None = None
    until: datetime | None = None
    operation: str | None = None
    outcome: str | None = None
    principal: str | None = None
    client_address: str | None = None
    project: str | None = None
    repository: str | None = None
    digest: str | None = None
    request_id: str | None = None


_FIELDS = (
    "recorded_at",
    "operation",
    "outcome",
    "principal",
    "auth_method",
    "client_address",
    "user_agent",
    "request_id",
    "project",
    "repository",
    "reference",
    "digest",
    "detail",
)


def add_records(connection: Connection, records: Sequence[AuditRecord]) -> None:
    """Append the records.

    Goes to the driver with ready rows: busy servers bring tens of thousands of pulls a second here.
    """
    if not records:
        return
    compiled = insert(audit_record).compile(dialect=connection.dialect, column_keys=_FIELDS)
    if compiled.positiontup != list(_FIELDS):
        raise AssertionError(compiled.positiontup)
    rows = [
        (
            (record.recorded_at - EPOCH) // MICROSECOND,
            record.operation,
            record.outcome,
            record.principal,
            record.auth_method,
            record.client_address,
            record.user_agent,
            record.request_id,
            record.project,
            record.repository,
            record.reference,
            record.digest,
            record.detail,
        )
        for record in records
    ]
    connection.exec_driver_sql(compiled.string, rows)


def list_records(
    connection: Connection, wanted: AuditFilter, *, limit: int, before_id: int | None = None
) -> list[tuple[int, AuditRecord]]:
    """Return up to `limit` records with their ids, the newest first; `before_id` pages on."""
    columns = [audit_record.c[name] for name in _FIELDS]
    statement = select(audit_record.c.id, *columns).order_by(audit_record.c.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(audit_record.c.id < before_id)
    if wanted.since is not None:
        statement = statement.where(audit_record.c.recorded_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(audit_record.c.recorded_at < wanted.until)
    exact = (
        "operation",
        "outcome",
        "principal",
        "client_address",
        "project",
        "repository",
        "digest",
        "request_id",
    )
    for name in exact:
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(audit_record.c[name] == value)
    return [(row[0], AuditRecord(*row[1:])) for row in connection.execute(statement)]


def journal_offset(connection: Connection, journal: str) -> int:
    """Return how many bytes of the journal are in the table already."""
    offset: int | None = connection.execute(
        select(journal_position.c.offset_bytes).where(journal_position.c.journal == journal)
    ).scalar()
    return offset or 0


def take_in(connection: Connection, journal: str, records: Sequence[AuditRecord], offset_bytes: int) -> None:
    """Append a journal's records and remember how far it was read, both or neither."""
    add_records(connection, records)
    insert_or_replace(connection, journal_position, {"journal": journal, "offset_bytes": offset_bytes})


def forget_journal(connection: Connection, journal: str) -> None:
    """Drop the memory of a journal whose file is gone."""
    connection.execute(journal_position.delete().where(journal_position.c.journal == journal))
