"""Writes audit records that are no part of another change: logins and denials."""

from homeport.db.audit import AuditRecord, add_records
from homeport.db.engine import Database


class Recorder:
    """Records events in a transaction of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, record: AuditRecord) -> None:
        """Store the record; it is durable when this returns."""
        await self._database.write(add_records, [record])
