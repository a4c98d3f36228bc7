"""Audit records: written once into the chain of their stream, never changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from homeport.db.dialect import insert_or_keep, insert_or_replace, locked
from homeport.db.schema import (
    EPOCH,
    MICROSECOND,
    audit_record,
    audit_stream,
    journal_position,
    setting,
)
from homeport.rules.audit_chain import GENESIS, link_hash, stream_of
from homeport.rules.audit_events import event_of


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, from where, to what, and how it ended.

    `before` and `after` are JSON texts of what a change of rights or policy found and left.
    """

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
    before: str | None = None
    after: str | None = None


_FILTERS = (
    "operation",
    "outcome",
    "principal",
    "client_address",
    "project",
    "repository",
    "digest",
    "request_id",
)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records to list; an empty field does not restrict.

    `any_of` holds the values that a column may have, `containing` a text that it must contain, whatever the
    case. `project_starts` leaves out what was done in a project before that time, in an earlier one of the
    same name.
    """

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
    any_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    containing: Mapping[str, str] = field(default_factory=dict)
    project_starts: Mapping[str, datetime] = field(default_factory=dict)

    def values(self) -> dict[str, tuple[str, ...]]:
        """Return the allowed values of every column that is restricted to some."""
        given = {name: getattr(self, name) for name in _FILTERS}
        allowed: dict[str, tuple[str, ...]] = {
            name: (value,) for name, value in given.items() if value is not None
        }
        for name, values in self.any_of.items():
            known = allowed.get(name)
            allowed[name] = values if known is None else tuple(value for value in known if value in values)
        return allowed


# in the order of the columns, which is the order that the hashes cover
FIELDS = (
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
    "before",
    "after",
)
_COLUMNS = (*FIELDS, "stream", "sequence", "hash")

_HEADS = (
    select(audit_stream.c.stream, audit_stream.c.sequence, audit_stream.c.hash)
    .where(audit_stream.c.stream.in_(bindparam("streams", expanding=True)))
    .order_by(audit_stream.c.stream)
)
_MOVE_HEAD = (
    update(audit_stream)
    .where(audit_stream.c.stream == bindparam("of_stream"))
    .values(sequence=bindparam("to_sequence"), hash=bindparam("to_hash"))
)


_DISABLED_TYPES, _DISABLED_PULLS = "disabled_audit_log_event_types", "pull_audit_log_disable"
_DISABLED = select(setting.c.name, setting.c.value).where(
    setting.c.name.in_((_DISABLED_TYPES, _DISABLED_PULLS))
)


def add_records(connection: Connection, records: Sequence[AuditRecord]) -> None:
    """Append the records, each to the chain of its stream.

    Those of events that administrators disabled are left out. To be called last in a transaction: on
    PostgreSQL the streams stay locked until it ends, in the order of their numbers. Goes to the driver with
    ready rows: busy servers bring tens of thousands of pulls a second.
    """
    records = _enabled(connection, records)
    if not records:
        return
    by_stream: dict[int, list[AuditRecord]] = {}
    for record in records:
        stream = stream_of(record.operation, record.project, record.principal)
        by_stream.setdefault(stream, []).append(record)
    heads = _lock_heads(connection, sorted(by_stream))
    rows: list[tuple[str | int | None, ...]] = []
    for stream, members in by_stream.items():
        sequence, previous = heads[stream]
        for record in members:
            sequence += 1
            values = record_values(record)
            previous = link_hash(previous, stream, sequence, values)
            rows.append((*values, stream, sequence, previous))
        connection.execute(_MOVE_HEAD, {"of_stream": stream, "to_sequence": sequence, "to_hash": previous})
    compiled = insert(audit_record).compile(dialect=connection.dialect, column_keys=_COLUMNS)
    if compiled.positiontup != list(_COLUMNS):
        raise AssertionError(compiled.positiontup)
    connection.exec_driver_sql(compiled.string, rows)


def _enabled(connection: Connection, records: Sequence[AuditRecord]) -> Sequence[AuditRecord]:
    stored = {row[0]: row[1] for row in connection.execute(_DISABLED)} if records else {}
    if not stored:
        return records
    disabled = set(json.loads(stored.get(_DISABLED_TYPES) or '""').split(","))
    if json.loads(stored.get(_DISABLED_PULLS) or "false"):
        disabled.add("pull_artifact")
    return [
        record
        for record in records
        if record.outcome != "success" or event_of(record.operation).name not in disabled
    ]


def record_values(record: AuditRecord) -> tuple[str | int | None, ...]:
    """Return the record's fields as the table and the hashes have them."""
    return (
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
        record.before,
        record.after,
    )


def _lock_heads(connection: Connection, streams: list[int]) -> dict[int, tuple[int, str]]:
    statement = locked(connection, _HEADS)
    found = {row[0]: (row[1], row[2]) for row in connection.execute(statement, {"streams": streams})}
    if len(found) < len(streams):
        missing = [stream for stream in streams if stream not in found]
        rows = [{"stream": stream, "sequence": 0, "hash": GENESIS} for stream in missing]
        insert_or_keep(connection, audit_stream, rows)
        found = {row[0]: (row[1], row[2]) for row in connection.execute(statement, {"streams": streams})}
    return found


def journal_offset(connection: Connection, journal: str) -> int:
    """Return how many bytes of the journal are in the table already."""
    offset: int | None = connection.execute(
        select(journal_position.c.offset_bytes).where(journal_position.c.journal == journal)
    ).scalar()
    return offset or 0


def take_in(connection: Connection, journal: str, records: Sequence[AuditRecord], offset_bytes: int) -> None:
    """Append a journal's records and remember how far it was read, both or neither."""
    insert_or_replace(connection, journal_position, {"journal": journal, "offset_bytes": offset_bytes})
    add_records(connection, records)


def forget_journal(connection: Connection, journal: str) -> None:
    """Drop the memory of a journal whose file is gone."""
    connection.execute(journal_position.delete().where(journal_position.c.journal == journal))
