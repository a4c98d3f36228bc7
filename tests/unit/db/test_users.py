import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.engine import Database
from homeport.db.login_failures import LoginSubjects, find_login_history, record_login_success
from homeport.db.refresh_tokens import StoredRefreshToken, add_refresh_token, find_refresh_token
from homeport.db.users import (
    StoredUser,
    add_user,
    change_password_hash,
    delete_user,
    find_user,
    find_user_by_id,
    has_user,
    replace_password_hash,
)

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def make_user(database: Database) -> StoredUser:
    assert await database.write(add_user, "alice", "hash", NOW, is_sysadmin=False)
    user = await database.read(find_user, "alice")
    assert user is not None
    return user


async def make_refresh_token(database: Database, user: StoredUser) -> None:
    token = StoredRefreshToken("t", user.id, "fingerprint", "homeport", "", NOW, NOW + timedelta(days=1))
    assert await database.write(add_refresh_token, token, keep=10)


async def test_user_that_was_added_is_found_by_name_and_id(database: Database) -> None:
    user = await make_user(database)

    assert user == StoredUser(user.id, "alice", "hash", is_sysadmin=False)
    assert await database.read(find_user_by_id, user.id) == user
    assert await database.read(has_user, "alice")


async def test_user_that_does_not_exist_is_none(database: Database) -> None:
    assert await database.read(find_user, "nobody") is None
    assert await database.read(find_user_by_id, 1) is None
    assert not await database.read(has_user, "nobody")


async def test_user_names_are_exact(database: Database) -> None:
    await make_user(database)

    assert await database.read(find_user, "Alice") is None
    assert await database.read(find_user, "alice ") is None


async def test_add_user_leaves_a_taken_name_alone(database: Database) -> None:
    user = await make_user(database)

    assert not await database.write(add_user, "alice", "other", NOW, is_sysadmin=True)
    assert await database.read(find_user, "alice") == user


async def test_add_user_in_two_processes_at_once_makes_one(
    database: Database, other_database: Database
) -> None:
    made = await asyncio.gather(
        *(
            each.write(add_user, "alice", f"hash-{number}", NOW, is_sysadmin=False)
            for number, each in enumerate([database, other_database] * 5)
        )
    )

    assert sorted(made) == [False] * 9 + [True]
    user = await database.read(find_user, "alice")
    assert user is not None
    assert user.password_hash == f"hash-{made.index(True)}"


async def test_changed_password_revokes_refresh_tokens(database: Database) -> None:
    user = await make_user(database)
    await make_refresh_token(database, user)

    assert await database.write(change_password_hash, user.id, "new", NOW)

    assert await database.read(find_refresh_token, "t") is None
    changed = await database.read(find_user, "alice")
    assert changed is not None
    assert changed.password_hash == "new"


async def test_change_password_of_nobody_is_false(database: Database) -> None:
    assert not await database.write(change_password_hash, 77, "new", NOW)


async def test_replace_password_hash_gives_way_to_a_changed_password(database: Database) -> None:
    user = await make_user(database)

    assert await database.write(replace_password_hash, user.id, "hash", "rehashed")
    assert not await database.write(replace_password_hash, user.id, "hash", "rehashed twice")


async def test_deleted_user_leaves_nothing(database: Database) -> None:
    user = await make_user(database)
    await make_refresh_token(database, user)
    subjects = LoginSubjects("alice", "192.0.2.1")
    await database.write(record_login_success, subjects, user.id, NOW)

    assert await database.write(delete_user, user.id)
    assert not await database.write(delete_user, user.id)

    assert await database.read(find_user, "alice") is None
    assert await database.read(find_refresh_token, "t") is None
    history = await database.read(find_login_history, subjects, user.id)
    assert history.last_success_at is None


def test_stored_user_hides_its_hash() -> None:
    assert "argon" not in repr(StoredUser(1, "alice", "argon", is_sysadmin=False))
