from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from homeport.db.engine import Database
from homeport.db.robots import NewRobot, add_robot, add_secret, end_secret, read_secrets
from homeport.db.schema import audit_record
from homeport.jobs.robots import look_after_robots

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


async def make(database: Database, name: str, expires_at: datetime | None) -> int:
    new = NewRobot(name, "", None, False, -1, expires_at, "user", 1)
    robot_id = await database.write(add_robot, new, NOW)
    assert robot_id is not None
    return robot_id


async def test_robot_is_warned_of_once_in_log_and_audit(database: Database) -> None:
    await make(database, "soon", NOW + 3 * DAY)
    await make(database, "later", NOW + 30 * DAY)
    await make(database, "gone", NOW - DAY)
    await make(database, "never", None)

    with capture_logs() as logs:
        assert await look_after_robots(database, NOW) == 1
        assert await look_after_robots(database, NOW) == 0

    assert [(entry["event"], entry["robot"]) for entry in logs] == [("robot_expiring", "robot$soon")]
    columns = (audit_record.c.operation, audit_record.c.reference, audit_record.c.principal)
    rows = await database.read(
        lambda connection: connection.execute(audit_record.select().with_only_columns(*columns)).fetchall()
    )
    assert [tuple(row) for row in rows] == [("robot_expiring", "robot$soon", "homeport")]
    assert await look_after_robots(database, NOW + 24 * DAY) == 1


async def test_secrets_that_ended_are_deleted(database: Database) -> None:
    robot_id = await make(database, "ci", None)
    old = await database.write(add_secret, robot_id, "a", NOW)
    await database.write(add_secret, robot_id, "b", NOW)
    await database.write(end_secret, old, NOW + DAY)

    await look_after_robots(database, NOW)
    assert len(await database.read(read_secrets, robot_id)) == 2
    await look_after_robots(database, NOW + 2 * DAY)
    assert [each.secret_hash for each in await database.read(read_secrets, robot_id)] == ["b"]


async def test_nothing_to_do_changes_nothing(database: Database) -> None:
    await make(database, "never", None)
    before = database.version()
    await look_after_robots(database, NOW)
    assert database.version() == before
