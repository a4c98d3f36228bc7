"""Robots with their permissions, secrets and trust rules."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    CursorResult,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from homeport.db.filtering import fetch_page
from homeport.db.schema import (
    project,
    robot,
    robot_permission,
    robot_secret,
    robot_trust,
    setting,
)
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import ProjectFacts
from homeport.rules.robots import DEFAULT_PREFIX, ClaimPattern, RobotPermission, split_login_name


@dataclass(frozen=True, slots=True)
class StoredRobot:
    """A robot; without a project it is one of the system."""

    id: int
    name: str
    description: str
    project_id: int | None
    is_disabled: bool
    duration_days: int
    expires_at: datetime | None
    creator_kind: str
    creator_id: int
    last_used_at: datetime | None
    last_used_address: str | None
    created_at: datetime
    updated_at: datetime
    project_name: str | None


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret of a robot, known by its hash only."""

    id: int
    secret_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredTrust:
    """A rule whose identity tokens a robot is given out to."""

    id: int
    robot_id: int
    issuer: str
    audience: str
    claims: tuple[ClaimPattern, ...]
    jwks: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewRobot:
    """What a robot is made from."""

    name: str
    description: str
    project_id: int | None
    is_disabled: bool
    duration_days: int
    expires_at: datetime | None
    creator_kind: str
    creator_id: int


_ROBOT = (
    robot.c.id,
    robot.c.name,
    robot.c.description,
    robot.c.project_id,
    robot.c.is_disabled,
    robot.c.duration_days,
    robot.c.expires_at,
    robot.c.creator_kind,
    robot.c.creator_id,
    robot.c.last_used_at,
    robot.c.last_used_address,
    robot.c.created_at,
    robot.c.updated_at,
    project.c.name,
)
_ROBOTS: Select[Any] = select(*_ROBOT).select_from(
    robot.outerjoin(project, project.c.id == robot.c.project_id)
)
_SECRETS = select(
    robot_secret.c.id, robot_secret.c.secret_hash, robot_secret.c.created_at, robot_secret.c.expires_at
)
_TRUSTS = select(
    robot_trust.c.id,
    robot_trust.c.robot_id,
    robot_trust.c.issuer,
    robot_trust.c.audience,
    robot_trust.c.claims,
    robot_trust.c.jwks,
    robot_trust.c.created_at,
)
# built once: these run with every sign-in, and with requests that follow a change of rights
_BY_ID = _ROBOTS.where(robot.c.id == bindparam("wanted"))
_BY_NAME = _ROBOTS.where(
    robot.c.name == bindparam("wanted"),
    or_(
        and_(robot.c.project_id.is_(None), literal(1) == bindparam("in_system")),
        project.c.name == bindparam("project"),
    ),
)
_SECRETS_OF = _SECRETS.where(robot_secret.c.robot_id == bindparam("wanted")).order_by(robot_secret.c.id)
_TRUSTS_OF = _TRUSTS.where(robot_trust.c.robot_id == bindparam("wanted")).order_by(robot_trust.c.id)
_PERMISSIONS_OF = (
    select(
        robot_permission.c.kind,
        robot_permission.c.project_id,
        robot_permission.c.permission,
        robot_permission.c.is_denied,
    )
    .where(robot_permission.c.robot_id == bindparam("wanted"))
    .order_by(robot_permission.c.id)
)
_PREFIX = select(setting.c.value).where(setting.c.name == "robot_name_prefix")
_DURATION = select(setting.c.value).where(setting.c.name == "robot_token_duration")
_PROJECT = select(project.c.id, project.c.name, project.c.is_public)
_COLUMNS = {
    "id": robot.c.id,
    "name": robot.c.name,
    "description": robot.c.description,
    "disable": robot.c.is_disabled,
    "duration": robot.c.duration_days,
    "creation_time": robot.c.created_at,
    "update_time": robot.c.updated_at,
    "last_used_time": robot.c.last_used_at,
}


def read_robot_prefix(connection: Connection) -> str:
    """Return what the login names of robots begin with."""
    value: str | None = connection.execute(_PREFIX).scalar()
    return DEFAULT_PREFIX if value is None else str(json.loads(value))


def read_robot_duration(connection: Connection) -> int | None:
    """Return how many days robots live when nothing else is asked for, None when that was never set."""
    value: str | None = connection.execute(_DURATION).scalar()
    return None if value is None else int(json.loads(value))


def find_robot(connection: Connection, robot_id: int) -> StoredRobot | None:
    """Return the robot with that id, or None."""
    row = connection.execute(_BY_ID, {"wanted": robot_id}).first()
    return None if row is None else StoredRobot(*row)


def find_robot_by_name(connection: Connection, name: str, project_name: str | None) -> StoredRobot | None:
    """Return the project's robot of that name, or the system's when no project is named."""
    sought = {"wanted": name, "project": project_name, "in_system": int(project_name is None)}
    row = connection.execute(_BY_NAME, sought).first()
    return None if row is None else StoredRobot(*row)


def find_robot_by_login(connection: Connection, username: str) -> StoredRobot | None:
    """Return the robot that signs in with that name, or None."""
    parts = split_login_name(read_robot_prefix(connection), username)
    return None if parts is None else find_robot_by_name(connection, parts[1], parts[0])


def list_robots(
    connection: Connection, query: ListQuery, project_id: int | None
) -> tuple[list[StoredRobot], int]:
    """Return a page of the project's robots, or of the system's for None, and how many there are."""
    within = robot.c.project_id.is_(None) if project_id is None else robot.c.project_id == project_id
    rows, total = fetch_page(
        connection, _ROBOTS.where(within, robot.c.is_visible), query, _COLUMNS, robot.c.id
    )
    return [StoredRobot(*row) for row in rows], total


def add_robot(connection: Connection, new: NewRobot, now: datetime) -> int | None:
    """Make the robot and return its id, None when the name is taken."""
    if _is_taken(connection, new):
        return None
    values = {each: getattr(new, each) for each in NewRobot.__slots__}
    result = connection.execute(insert(robot).values(**values, created_at=now, updated_at=now))
    return _new_id(result)


def _new_id(result: CursorResult[Any]) -> int:
    if result.inserted_primary_key is None:
        raise LookupError("the row was not stored")
    return int(result.inserted_primary_key[0])


def _is_taken(connection: Connection, new: NewRobot) -> bool:
    within = robot.c.project_id.is_(None) if new.project_id is None else robot.c.project_id == new.project_id
    return connection.execute(select(robot.c.id).where(robot.c.name == new.name, within)).first() is not None


def change_robot(connection: Connection, robot_id: int, changed: Mapping[str, Any], now: datetime) -> None:
    """Change columns of the robot; with another end, people are warned of it again."""
    values = {**changed, "updated_at": now}
    if "expires_at" in changed:
        values["expiry_warned_at"] = None
    connection.execute(update(robot).where(robot.c.id == robot_id).values(**values))


def delete_robot(connection: Connection, robot_id: int) -> bool:
    """Delete the robot with all that lets it sign in; tells whether it was there."""
    return connection.execute(delete(robot).where(robot.c.id == robot_id)).rowcount > 0


def read_permissions(connection: Connection, robot_id: int) -> tuple[RobotPermission, ...]:
    """Return what the robot was granted, in the order in which it was."""
    rows = connection.execute(_PERMISSIONS_OF, {"wanted": robot_id})
    return tuple(RobotPermission(row[0] == "system", row[1], row[2], row[3]) for row in rows)


def read_permissions_of(connection: Connection, robot_ids: Sequence[int]) -> dict[int, list[RobotPermission]]:
    """Return what each of the robots was granted."""
    rows = connection.execute(
        select(
            robot_permission.c.robot_id,
            robot_permission.c.kind,
            robot_permission.c.project_id,
            robot_permission.c.permission,
            robot_permission.c.is_denied,
        )
        .where(robot_permission.c.robot_id.in_(robot_ids))
        .order_by(robot_permission.c.id)
    )
    found: dict[int, list[RobotPermission]] = {robot_id: [] for robot_id in robot_ids}
    for row in rows:
        found[row[0]].append(RobotPermission(row[1] == "system", row[2], row[3], row[4]))
    return found


def replace_permissions(
    connection: Connection, robot_id: int, permissions: Iterable[RobotPermission]
) -> None:
    """Grant the robot these permissions and no others."""
    connection.execute(delete(robot_permission).where(robot_permission.c.robot_id == robot_id))
    rows = [
        {
            "robot_id": robot_id,
            "kind": "system" if each.is_system else "project",
            "project_id": each.project_id,
            "permission": each.permission,
            "is_denied": each.is_denied,
        }
        for each in permissions
    ]
    if rows:
        connection.execute(insert(robot_permission), rows)


def read_secrets(connection: Connection, robot_id: int) -> list[StoredSecret]:
    """Return the robot's secrets, the oldest first, those that have ended too."""
    return [StoredSecret(*row) for row in connection.execute(_SECRETS_OF, {"wanted": robot_id})]


def add_secret(connection: Connection, robot_id: int, secret_hash: str, now: datetime) -> int:
    """Store the hash of a new secret and return its id."""
    result = connection.execute(
        insert(robot_secret).values(robot_id=robot_id, secret_hash=secret_hash, created_at=now)
    )
    return _new_id(result)


def end_secret(connection: Connection, secret_id: int, expires_at: datetime) -> None:
    """Let the secret end then, or earlier if it would have anyway."""
    connection.execute(
        update(robot_secret)
        .where(
            robot_secret.c.id == secret_id,
            or_(robot_secret.c.expires_at.is_(None), robot_secret.c.expires_at > expires_at),
        )
        .values(expires_at=expires_at)
    )


def delete_secret(connection: Connection, robot_id: int, secret_id: int) -> bool:
    """Delete one secret of the robot; tells whether it was there."""
    result = connection.execute(
        delete(robot_secret).where(robot_secret.c.robot_id == robot_id, robot_secret.c.id == secret_id)
    )
    return result.rowcount > 0


def has_secrets_expired_before(connection: Connection, moment: datetime) -> bool:
    """Tell whether there are secrets to delete."""
    found = select(robot_secret.c.id).where(robot_secret.c.expires_at < moment).limit(1)
    return connection.execute(found).first() is not None


def delete_secrets_expired_before(connection: Connection, moment: datetime) -> int:
    """Delete secrets that have ended; returns how many."""
    return connection.execute(delete(robot_secret).where(robot_secret.c.expires_at < moment)).rowcount


def read_trusts(connection: Connection, robot_id: int) -> list[StoredTrust]:
    """Return the robot's trust rules."""
    return [_trust(row) for row in connection.execute(_TRUSTS_OF, {"wanted": robot_id})]


def find_trusts_of_issuer(connection: Connection, issuer: str) -> list[StoredTrust]:
    """Return every trust rule that names the issuer."""
    statement = _TRUSTS.where(robot_trust.c.issuer == issuer).order_by(robot_trust.c.id)
    return [_trust(row) for row in connection.execute(statement)]


def count_trusts(connection: Connection, robot_id: int) -> int:
    """Return how many trust rules the robot has."""
    count: int = connection.execute(
        select(func.count()).select_from(robot_trust).where(robot_trust.c.robot_id == robot_id)
    ).scalar_one()
    return count


def add_trust(connection: Connection, trust: StoredTrust) -> StoredTrust:
    """Store the rule and return it with its id."""
    result = connection.execute(
        insert(robot_trust).values(
            robot_id=trust.robot_id,
            issuer=trust.issuer,
            audience=trust.audience,
            claims=json.dumps({each.path: each.patterns for each in trust.claims}),
            jwks=trust.jwks,
            created_at=trust.created_at,
        )
    )
    return replace(trust, id=_new_id(result))


def delete_trust(connection: Connection, robot_id: int, trust_id: int) -> bool:
    """Delete one trust rule of the robot; tells whether it was there."""
    result = connection.execute(
        delete(robot_trust).where(robot_trust.c.robot_id == robot_id, robot_trust.c.id == trust_id)
    )
    return result.rowcount > 0


def _trust(row: Any) -> StoredTrust:
    claims = tuple(ClaimPattern(path, tuple(patterns)) for path, patterns in json.loads(row[4]).items())
    return StoredTrust(row[0], row[1], row[2], row[3], claims, row[5], row[6])


def note_use(connection: Connection, robot_id: int, now: datetime, address: str) -> None:
    """Remember when and from where the robot was last used."""
    connection.execute(
        update(robot)
        .where(robot.c.id == robot_id, or_(robot.c.last_used_at.is_(None), robot.c.last_used_at < now))
        .values(last_used_at=now, last_used_address=address[:64])
    )


def note_uses(connection: Connection, uses: Mapping[str, tuple[datetime, str]]) -> None:
    """Remember the last use, moment and address, of each of the principals that is a robot, by its name."""
    prefix = read_robot_prefix(connection)
    for username, (moment, address) in uses.items():
        if username.startswith(prefix):
            found = find_robot_by_login(connection, username)
            if found is not None:
                note_use(connection, found.id, moment, address)


def list_expiring(connection: Connection, now: datetime, until: datetime) -> list[StoredRobot]:
    """Return the robots that end between the moments and were not warned of."""
    rows = connection.execute(
        _ROBOTS.where(
            robot.c.expires_at > now, robot.c.expires_at <= until, robot.c.expiry_warned_at.is_(None)
        ).limit(1000)
    )
    return [StoredRobot(*row) for row in rows]


def mark_warned(connection: Connection, robot_id: int, now: datetime) -> None:
    """Remember that people were warned of the robot's end."""
    connection.execute(update(robot).where(robot.c.id == robot_id).values(expiry_warned_at=now))


def find_project(connection: Connection, name_or_id: str, *, is_name: bool) -> ProjectFacts | None:
    """Return the project by its id, or by its name when the text is no number or is said to be a name."""
    if "\0" in name_or_id:  # which PostgreSQL does not even compare
        return None
    if name_or_id.isascii() and name_or_id.isdigit() and len(name_or_id) < 19 and not is_name:  # noqa: PLR2004 - 64 bits
        row = connection.execute(_PROJECT.where(project.c.id == int(name_or_id))).first()
    else:
        row = connection.execute(_PROJECT.where(project.c.name == name_or_id)).first()
    return None if row is None else ProjectFacts(*row)


def find_projects_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, ProjectFacts]:
    """Return what permissions depend on, for those of the projects that exist."""
    rows = connection.execute(_PROJECT.where(project.c.id.in_(tuple(ids))))
    return {row[0]: ProjectFacts(*row) for row in rows}
