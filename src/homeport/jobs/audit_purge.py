"""Deletes audit records that are older than they are kept, and leaves a chain that can still be verified."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from homeport.auth.audit_key import AuditKey
from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.audit_chain import Purpose, find_purge_point, purge_up_to
from homeport.db.audit_forward import forwarded_up_to
from homeport.db.engine import Database
from homeport.jobs.audit_checkpoints import sign_point
from homeport.jobs.audit_targets import configured_targets
from homeport.rules.audit_chain import STREAMS, RecordKind, kind_of_stream

_PART = 5000
_MAX_PARTS = 2000


class AuditPurge:
    """Purges by age, from the start of each stream; what a target has not got yet stays."""

    def __init__(self, database: Database, key: AuditKey, configuration: ConfigurationReader) -> None:
        self._database = database
        self._key = key
        self._configuration = configuration

    async def run(self) -> int:
        """Delete what is old enough; returns how many records. What was deleted is recorded."""
        configuration = await self._configuration.read()
        count = 0
        for kind, days in _kept_days(configuration).items():
            if days is not None:
                count += await self._purge_kind(kind, timedelta(days=days), configuration)
        return count

    async def _purge_kind(self, kind: RecordKind, age: timedelta, configuration: Configuration) -> int:
        before = datetime.now(UTC) - age
        targets = configured_targets(configuration)
        count = 0
        for stream in STREAMS:
            if kind_of_stream(stream) is not kind:
                continue
            for _ in range(_MAX_PARTS):
                part = await self._database.write(self._purge_part, stream, before, targets)
                count += part
                if part < _PART:
                    break
        if count and age:
            actor = Actor("homeport", "local", "", "audit retention", "")
            detail = f"{count} records of kind {kind} from before {before.isoformat(timespec='seconds')}"
            await self._database.write(add_records, [actor.record("purge_audit", Target(), detail=detail)])
        return count

    def _purge_part(
        self, connection: Connection, stream: int, before: datetime, targets: tuple[str, ...]
    ) -> int:
        not_behind = forwarded_up_to(connection, targets, stream) if targets else None
        point = find_purge_point(connection, stream, before, not_behind, _PART)
        if point is None:
            return 0
        return purge_up_to(connection, sign_point(self._key, point, Purpose.PURGED))


def _kept_days(configuration: Configuration) -> dict[RecordKind, int | None]:
    """Return for how many days records are kept, None for ever."""
    if configuration.skip_audit_log_database:
        return dict.fromkeys(RecordKind, 0)
    return {
        RecordKind.PULL: configuration.audit_retention_pull_days or None,
        RecordKind.ACCESS: configuration.audit_retention_access_days or None,
        RecordKind.CHANGE: configuration.audit_retention_change_days or None,
    }
