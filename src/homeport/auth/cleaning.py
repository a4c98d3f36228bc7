"""Deletes what signing in leaves behind and nobody can use any more."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from homeport.auth.signing_keys import VERIFIES_AFTER_RETIREMENT
from homeport.db.engine import Database
from homeport.db.login_failures import delete_login_addresses_before, delete_login_failures_before
from homeport.db.refresh_tokens import delete_refresh_tokens_expired_before
from homeport.db.sessions import delete_sessions_expired_before
from homeport.db.signing_keys import delete_keys_retired_before
from homeport.rules.login_throttle import FORGET_AFTER, KNOWN_FOR


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How many rows were deleted."""

    login_failures: int
    login_addresses: int
    refresh_tokens: int
    signing_keys: int
    sessions: int = 0


async def delete_outlived(database: Database, now: datetime) -> Cleaned:
    """Delete forgotten login failures, addresses not seen for long, ended tokens and sessions, old keys.

    May be repeated at any time and by several processes.
    """
    return await database.write(_delete, now)


def _delete(connection: Connection, now: datetime) -> Cleaned:
    return Cleaned(
        login_failures=delete_login_failures_before(connection, now - FORGET_AFTER),
        login_addresses=delete_login_addresses_before(connection, now - KNOWN_FOR),
        refresh_tokens=delete_refresh_tokens_expired_before(connection, now),
        signing_keys=delete_keys_retired_before(connection, now - VERIFIES_AFTER_RETIREMENT),
        sessions=delete_sessions_expired_before(connection, now),
    )
