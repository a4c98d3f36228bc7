"""What the jobs process and the command line do with the audit records, put together from its parts."""

from collections.abc import AsyncIterator
from pathlib import Path

from homeport.auth.audit_key import AuditKey
from homeport.auth.configuration import ConfigurationReader
from homeport.control.audit import AuditLog
from homeport.control.audit_verification import AuditVerification
from homeport.db.audit import AuditFilter
from homeport.db.audit_search import Row, list_records
from homeport.db.engine import Database
from homeport.jobs.audit_checkpoints import WITNESS_FILE, Checkpoints, read_witnesses
from homeport.jobs.audit_purge import AuditPurge
from homeport.jobs.audit_syslog import SyslogForwarder
from homeport.jobs.audit_webhook import WebhookForwarder
from homeport.jobs.worker import Chore

_FORWARD_PAUSE_S = 1.0
_CHECKPOINT_PAUSE_S = 60.0
_PURGE_PAUSE_S = 60.0


class AuditTools:
    """Lists, exports and verifies, for commands beside a running or stopped server."""

    def __init__(self, database: Database, key: AuditKey, data: Path) -> None:
        self._database = database
        self._key = key
        self._data = data

    async def list(self, wanted: AuditFilter, limit: int) -> list[Row]:
        """Return up to `limit` records, the newest first."""
        return await self._database.read(list_records, wanted, limit=limit)

    def export(self, wanted: AuditFilter, format_name: str) -> AsyncIterator[str]:
        """Yield the records as `AuditLog.export` does."""
        return AuditLog(self._database).export(wanted, format_name)

    def verification(self, witnesses: Path | None = None) -> AuditVerification:
        """Return a run over the chains, with the checkpoints in the file or in the data directory."""
        path = witnesses or self._data / WITNESS_FILE
        return AuditVerification(self._database, self._key, read_witnesses(path))


def audit_chores(
    database: Database, key: AuditKey, configuration: ConfigurationReader, data: Path
) -> list[Chore]:
    """Return what the jobs process does for the audit records again and again."""
    return [
        Chore("audit syslog", SyslogForwarder(database, configuration).run, _FORWARD_PAUSE_S),
        Chore("audit webhook", WebhookForwarder(database, configuration).run, _FORWARD_PAUSE_S),
        Chore("audit checkpoints", Checkpoints(database, key, data).sign, _CHECKPOINT_PAUSE_S),
        Chore("audit purge", AuditPurge(database, key, configuration).run, _PURGE_PAUSE_S),
    ]
