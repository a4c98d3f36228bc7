"""Warns before robots end, and clears away the secrets that have."""

from datetime import datetime

import structlog
from sqlalchemy import Connection

from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.robots import (
    StoredRobot,
    delete_secrets_expired_before,
    has_secrets_expired_before,
    list_expiring,
    mark_warned,
    read_robot_prefix,
)
from homeport.rules.robots import WARN_BEFORE, login_name

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_HOMEPORT = Actor("homeport", "internal", "", "", "")


async def look_after_robots(database: Database, now: datetime) -> int:
    """Warn of every robot that ends within a week, once, in the log and in the audit; returns how many.

    Secrets whose overlap has ended are deleted. May be repeated at any time and by several processes.
    """
    found = await database.read(_find_work, now)
    warned = await database.write(_work, now) if found else []
    for name, expires_at in warned:
        log.warning("robot_expiring", robot=name, expires_at=expires_at.isoformat())
    return len(warned)


def _expiring(connection: Connection, now: datetime) -> list[StoredRobot]:
    return list_expiring(connection, now, now + WARN_BEFORE)


def _find_work(connection: Connection, now: datetime) -> bool:
    return bool(_expiring(connection, now)) or has_secrets_expired_before(connection, now)


def _work(connection: Connection, now: datetime) -> list[tuple[str, datetime]]:
    prefix = read_robot_prefix(connection)
    warned = []
    for robot in _expiring(connection, now):
        if robot.expires_at is None:
            continue
        name = login_name(prefix, robot.name, robot.project_name)
        target = Target(reference=name, project=robot.project_name)
        after = {"expires_at": robot.expires_at.isoformat()}
        add_records(connection, [_HOMEPORT.record("robot_expiring", target, after=after)])
        mark_warned(connection, robot.id, now)
        warned.append((name, robot.expires_at))
    delete_secrets_expired_before(connection, now)
    return warned
