from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.engine import Database
from homeport.db.sessions import (
    StoredSession,
    add_session,
    delete_session,
    delete_sessions_expired_before,
    find_session,
    prolong_session,
)
from homeport.db.users import add_user, delete_user, find_user

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def make_session(database: Database) -> StoredSession:
    await database.write(add_user, "alice", "hash", NOW, is_sysadmin=False)
    user = await database.read(find_user, "alice")
    assert user is not None
    stored = StoredSession("h", user.id, "f", "password", "csrf", "192.0.2.1", NOW, NOW + HOUR)
    await database.write(add_session, stored)
    return stored


async def test_session_is_found_prolonged_and_deleted(database: Database) -> None:
    stored = await make_session(database)
    assert await database.read(find_session, "h") == stored

    await database.write(prolong_session, "h", NOW + 2 * HOUR)
    assert await database.read(find_session, "h") == replace(stored, expires_at=NOW + 2 * HOUR)

    assert await database.write(delete_session, "h")
    assert not await database.write(delete_session, "h")
    await database.write(prolong_session, "h", NOW + 3 * HOUR)
    assert await database.read(find_session, "h") is None


async def test_session_goes_with_its_user(database: Database) -> None:
    stored = await make_session(database)

    await database.write(delete_user, stored.user_id)

    assert await database.read(find_session, "h") is None


async def test_ended_sessions_are_deleted_and_others_stay(database: Database) -> None:
    await make_session(database)

    assert await database.write(delete_sessions_expired_before, NOW + HOUR) == 0
    assert await database.write(delete_sessions_expired_before, NOW + HOUR + HOUR) == 1
