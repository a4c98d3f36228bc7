import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from homeport.db.engine import Database
from homeport.db.login_failures import (
    LoginSubjects,
    delete_login_addresses_before,
    delete_login_failures_before,
    find_login_history,
    record_login_failure,
    record_login_success,
)
from homeport.db.users import add_user, find_user
from homeport.rules.login_throttle import Failures, LoginHistory

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ALICE_HOME = LoginSubjects("alice", "192.0.2.1")
ALICE_AWAY = LoginSubjects("alice", "192.0.2.2")
BOB_HOME = LoginSubjects("bob", "192.0.2.1")


async def fail(database: Database, subjects: LoginSubjects, *, known: bool = False) -> None:
    await database.write(record_login_failure, subjects, NOW, is_known_address=known)


async def make_alice(database: Database) -> int:
    await database.write(add_user, "alice", "hash", NOW, is_sysadmin=False)
    user = await database.read(find_user, "alice")
    assert user is not None
    return user.id


async def test_login_history_of_strangers_is_empty(database: Database) -> None:
    assert await database.read(find_login_history, ALICE_HOME, None) == LoginHistory()


async def test_login_failures_count_for_pair_address_and_account(database: Database) -> None:
    await fail(database, ALICE_HOME)
    await fail(database, ALICE_HOME)
    await fail(database, ALICE_AWAY)
    await fail(database, BOB_HOME)

    assert await database.read(find_login_history, ALICE_HOME, None) == LoginHistory(
        pair=Failures(2, NOW), address=Failures(3, NOW), account=Failures(3, NOW)
    )


async def test_login_failures_count_for_the_address_at_first_only(database: Database) -> None:
    for _ in range(8):
        await fail(database, ALICE_HOME)

    history = await database.read(find_login_history, ALICE_HOME, None)
    assert (history.pair.count, history.address.count, history.account.count) == (8, 5, 8)


async def test_login_failure_at_a_known_address_counts_for_the_pair_alone(database: Database) -> None:
    await fail(database, ALICE_HOME, known=True)

    assert await database.read(find_login_history, ALICE_HOME, None) == LoginHistory(pair=Failures(1, NOW))


async def test_login_success_makes_the_address_known_and_ends_the_pairs_failures(database: Database) -> None:
    alice = await make_alice(database)
    await fail(database, ALICE_HOME)
    await fail(database, ALICE_AWAY)

    await database.write(record_login_success, ALICE_HOME, alice, NOW)

    assert await database.read(find_login_history, ALICE_HOME, alice) == LoginHistory(
        address=Failures(1, NOW), account=Failures(2, NOW), last_success_at=NOW
    )
    away = await database.read(find_login_history, ALICE_AWAY, alice)
    assert (away.pair.count, away.last_success_at) == (1, None)


async def test_login_success_of_a_deleted_user_is_not_remembered(database: Database) -> None:
    await database.write(record_login_success, ALICE_HOME, 77, NOW)

    assert await database.read(find_login_history, ALICE_HOME, 77) == LoginHistory()


async def test_login_failures_of_several_processes_add_up(
    database: Database, other_database: Database
) -> None:
    await fail(database, ALICE_HOME)
    await asyncio.gather(*(fail(each, ALICE_HOME) for each in [database, other_database] * 5))

    history = await database.read(find_login_history, ALICE_HOME, None)
    assert (history.pair.count, history.account.count) == (11, 11)


async def test_subjects_of_the_longest_name_fit(database: Database) -> None:
    subjects = LoginSubjects("ä" * 255, "x" * 64)
    await fail(database, subjects)

    assert await database.read(find_login_history, subjects, None) == LoginHistory(
        pair=Failures(1, NOW), address=Failures(1, NOW), account=Failures(1, NOW)
    )


async def test_delete_old_rows_spares_newer_ones(database: Database) -> None:
    alice = await make_alice(database)
    await fail(database, ALICE_HOME)
    await database.write(record_login_success, ALICE_AWAY, alice, NOW)
    later = NOW + timedelta(seconds=1)

    assert await database.write(delete_login_failures_before, NOW) == 0
    assert await database.write(delete_login_addresses_before, NOW) == 0
    assert await database.write(delete_login_failures_before, later) == 3
    assert await database.write(delete_login_addresses_before, later) == 1
