"""Quotas of projects: what each may store."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.changes import Change, record_change
from homeport.control.errors import BadRequestError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.quotas import StoredQuota, find_quota, list_quotas, set_hard_bytes
from homeport.rules.listing import ListQuery
from homeport.rules.quota import StorageLimitInvalidError, check_storage_limit

_MAX_ID = 2**63 - 1


class Quotas:
    """The quotas; callers have checked the rights."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, query: ListQuery) -> tuple[list[StoredQuota], int]:
        """Return a page of the quotas and how many there are. Raises QueryInvalidError."""
        return await self._database.read(list_quotas, query)

    async def find(self, quota_id: int) -> StoredQuota:
        """Return the quota. Raises NotFoundError."""
        return await self._database.read(_find, quota_id)

    async def change(self, actor: Actor, quota_id: int, hard_bytes: int) -> None:
        """Set the limit, -1 for none. Raises BadRequestError, NotFoundError."""
        try:
            check_storage_limit(hard_bytes)
        except StorageLimitInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        await self._database.write(_change, actor, quota_id, hard_bytes)


def _find(connection: Connection, quota_id: int) -> StoredQuota:
    found = find_quota(connection, quota_id) if 0 < quota_id <= _MAX_ID else None
    if found is None:
        raise NotFoundError(f"there is no quota {quota_id}")
    return found


def _change(connection: Connection, actor: Actor, quota_id: int, hard_bytes: int) -> None:
    known = _find(connection, quota_id)
    set_hard_bytes(connection, known.project_id, hard_bytes, datetime.now(UTC))
    change = Change(
        "update_quota",
        Target(project=known.project_name, reference=known.project_name),
        before={"storage": known.hard_bytes},
        after={"storage": hard_bytes},
    )
    record_change(connection, actor, change)
