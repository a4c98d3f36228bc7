"""Robots: making, looking at, changing and deleting them, as Harbor's `/robots` does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from homeport.auth.clock import Clock, utc_now
from homeport.auth.passwords import Passwords
from homeport.auth.robots import hash_generated_secret
from homeport.auth.secret import Secret
from homeport.control.changes import Change, record_change
from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
)
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.robots import (
    NewRobot,
    StoredRobot,
    add_robot,
    add_secret,
    change_robot,
    delete_robot,
    find_project,
    find_projects_by_id,
    find_robot,
    list_robots,
    read_permissions,
    read_permissions_of,
    read_robot_duration,
    read_robot_prefix,
    replace_permissions,
)
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import Principal, ProjectFacts, may_in_project, may_in_system
from homeport.rules.robots import (
    DEFAULT_DURATION_DAYS,
    MAX_NAME_LENGTH,
    NEVER,
    RobotInvalidError,
    RobotPermission,
    check_duration,
    check_robot_name,
    check_secret,
    expand,
    expiry,
    login_name,
    make_secret,
    may_grant,
)

MAX_ENTRIES = 500
MAX_DESCRIPTION = 1024

_ALLOW, _DENY = "allow", "deny"


@dataclass(frozen=True, slots=True)
class Access:
    """One permission as requests and answers name it."""

    resource: str
    action: str
    effect: str = ""


@dataclass(frozen=True, slots=True)
class PermissionEntry:
    """The permissions of a robot in one place: the system (`/`), a project, or every project (`*`)."""

    kind: str
    namespace: str
    access: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class RobotRequest:
    """A robot as it is asked for; a duration of None or 0 asks for the configured one.

    A new one ends at `expires_at` if that is given, whatever the duration.
    """

    name: str
    level: str
    description: str = ""
    secret: Secret | None = None
    is_disabled: bool = False
    duration_days: int | None = None
    permissions: tuple[PermissionEntry, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CreatedRobot:
    """A robot that was just made, with the secret that is shown once."""

    id: int
    login_name: str
    secret: Secret
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RobotView:
    """A robot as people see it."""

    stored: StoredRobot
    login_name: str
    permissions: tuple[PermissionEntry, ...]

    @property
    def level(self) -> str:
        """`system` or `project`."""
        return "system" if self.stored.project_id is None else "project"


class Robots:
    """Makes and changes robots on behalf of those who may.

    Nobody can make or change a robot that may do more than they may themselves. Raises UnauthenticatedError,
    ForbiddenError, NotFoundError, BadRequestError and ConflictError.
    """

    def __init__(self, database: Database, passwords: Passwords, clock: Clock = utc_now) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def create(self, principal: Principal, actor: Actor, request: RobotRequest) -> CreatedRobot:
        """Make the robot."""
        _check_request(request)
        secret, secret_hash = await self.prepare_secret(request.secret)
        new = await self._database.write(self._create, principal, actor, request, secret_hash)
        return replace(new, secret=secret)

    async def prepare_secret(self, given: Secret | None) -> tuple[Secret, str]:
        """Return the given secret, or a generated one, with the hash to store."""
        if given is None or not given:
            secret = Secret(make_secret())
            return secret, hash_generated_secret(secret)
        try:
            check_secret(given.reveal())
        except RobotInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        return given, await self._passwords.hash(given)

    async def list(
        self, principal: Principal, query: ListQuery, project: str | None, *, is_name: bool = False
    ) -> tuple[list[RobotView], int]:
        """Return a page of the robots of the project, or of the system for None, and how many there are."""
        return await self._database.read(_list, principal, query, project, is_name=is_name)

    async def get(self, principal: Principal, robot_id: int) -> RobotView:
        """Return one robot."""
        return await self._database.read(_get, principal, robot_id)

    async def update(
        self, principal: Principal, actor: Actor, robot_id: int, request: RobotRequest
    ) -> RobotView:
        """Change description, duration, permissions, and whether it is disabled; name and level stay.

        An empty level or name in the request means the robot's own.
        """
        return await self._database.write(self._update, principal, actor, robot_id, request)

    async def delete(self, principal: Principal, actor: Actor, robot_id: int) -> None:
        """Delete the robot; everything that it signed in with ends at once."""

        def delete(connection: Connection) -> None:
            view = require_robot(connection, principal, robot_id, "delete")
            delete_robot(connection, robot_id)
            change = Change("delete_robot", robot_target(view), before=describe(view))
            record_change(connection, actor, change)

        await self._database.write(delete)

    def _create(
        self, connection: Connection, principal: Principal, actor: Actor, request: RobotRequest, secret: str
    ) -> CreatedRobot:
        project = _project_of(connection, principal, request)
        require(principal, project, "create")
        permissions = _resolve(connection, principal, request.permissions)
        check_grants(connection, principal, permissions)
        days = request.duration_days or read_robot_duration(connection) or DEFAULT_DURATION_DAYS
        full_name = login_name(read_robot_prefix(connection), request.name, project.name if project else None)
        if len(full_name) > MAX_NAME_LENGTH:
            raise BadRequestError("the robot's full name is too long")
        now = self._clock().replace(microsecond=0)
        new = NewRobot(
            name=request.name,
            description=request.description,
            project_id=project.id if project else None,
            is_disabled=request.is_disabled,
            duration_days=days,
            expires_at=request.expires_at or expiry(now, days),
            creator_kind=principal.kind.value,
            creator_id=principal.user_id or 0,
        )
        robot_id = add_robot(connection, new, now)
        if robot_id is None:
            raise ConflictError(f"the robot account {request.name} exists already")
        replace_permissions(connection, robot_id, permissions)
        add_secret(connection, robot_id, secret, now)
        view = _view(connection, robot_id)
        record_change(connection, actor, Change("create_robot", robot_target(view), after=describe(view)))
        return CreatedRobot(robot_id, view.login_name, Secret(""), now, new.expires_at)

    def _update(
        self, connection: Connection, principal: Principal, actor: Actor, robot_id: int, request: RobotRequest
    ) -> RobotView:
        before = require_robot(connection, principal, robot_id, "update")
        stored = before.stored
        same_names = {"", stored.name, before.login_name}
        if request.level not in {"", before.level} or request.name not in same_names:
            raise BadRequestError("the level and the name of a robot cannot be changed")
        _check_request(replace(request, level=before.level, name=stored.name))
        check_grants(connection, principal, read_permissions(connection, robot_id))
        permissions = _resolve(connection, principal, request.permissions)
        if before.level == "project" and {each.project_id for each in permissions} != {stored.project_id}:
            raise BadRequestError("a robot of a project has permissions in its own project alone")
        check_grants(connection, principal, permissions)
        changed: dict[str, Any] = {
            "description": request.description,
            "is_disabled": request.is_disabled,
        }
        if request.duration_days not in {None, 0, stored.duration_days}:
            days = request.duration_days or NEVER
            changed |= {"duration_days": days, "expires_at": expiry(stored.created_at, days)}
        change_robot(connection, robot_id, changed, self._clock())
        replace_permissions(connection, robot_id, permissions)
        after = _view(connection, robot_id)
        change = Change("update_robot", robot_target(after), describe(before), describe(after))
        record_change(connection, actor, change)
        return after


def require(principal: Principal, project: ProjectFacts | None, action: str) -> None:
    """Raise unless the principal may do this to the robots of the project, or of the system for None."""
    permission = f"robot:{action}"
    if project is None:
        may = may_in_system(principal, permission)
    else:
        may = may_in_project(principal, project, permission)
    if may:
        return
    if principal.is_anonymous:
        raise UnauthenticatedError("sign in first")
    raise ForbiddenError(f"{principal.name} may not do this ({permission})")


def require_robot(connection: Connection, principal: Principal, robot_id: int, action: str) -> RobotView:
    """Return the robot if the principal may do this to it.

    One that does not exist looks to all but those who see the system's robots like one that they may not see.
    """
    stored = find_robot(connection, robot_id)
    project = None
    if stored is not None and stored.project_id is not None:
        project = find_projects_by_id(connection, [stored.project_id])[stored.project_id]
    require(principal, project, action)
    if stored is None:
        raise NotFoundError(f"there is no robot {robot_id}")
    return _view(connection, robot_id)


def check_grants(
    connection: Connection, principal: Principal, permissions: Iterable[RobotPermission]
) -> None:
    """Raise ForbiddenError when a permission is more than the principal has."""
    wanted = tuple(permissions)
    if principal.is_sysadmin:
        return
    ids = {each.project_id for each in wanted if each.project_id is not None}
    projects = find_projects_by_id(connection, ids)
    for each in wanted:
        project = None if each.project_id is None else projects.get(each.project_id)
        in_every_project = not each.is_system and each.project_id is None
        if not may_grant(principal, each, project, in_every_project=in_every_project):
            raise ForbiddenError(
                f"the robot would have more permissions than {principal.name}",
                hint="grant only what you have yourself",
            )


def describe(view: RobotView) -> dict[str, Any]:
    """Return what audit records keep of a robot."""
    stored = view.stored
    return {
        "name": view.login_name,
        "level": view.level,
        "description": stored.description,
        "disable": stored.is_disabled,
        "duration": stored.duration_days,
        "expires_at": None if stored.expires_at is None else stored.expires_at.isoformat(),
        "permissions": [
            {
                "kind": entry.kind,
                "namespace": entry.namespace,
                "access": [f"{access.effect} {access.resource}:{access.action}" for access in entry.access],
            }
            for entry in view.permissions
        ],
    }


def robot_target(view: RobotView) -> Target:
    """Return what audit records of the robot are about."""
    return Target(reference=view.login_name, project=view.stored.project_name)


def _check_request(request: RobotRequest) -> None:
    try:
        check_robot_name(request.name)
        if request.duration_days:
            check_duration(request.duration_days)
    except RobotInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error
    if request.level not in {"system", "project"}:
        raise BadRequestError("the robot's level is not valid", hint="use system or project")
    if len(request.description) > MAX_DESCRIPTION or "\0" in request.description:
        raise BadRequestError(f"the description has more than {MAX_DESCRIPTION} characters, or a NUL")
    _check_entries(request)


def _check_entries(request: RobotRequest) -> None:
    entries = request.permissions
    if not entries or not all(entry.access for entry in entries):
        raise BadRequestError("the robot has no permissions", hint="give at least one with access")
    if len(entries) > MAX_ENTRIES or any(len(entry.access) > MAX_ENTRIES for entry in entries):
        raise BadRequestError(f"the robot has more than {MAX_ENTRIES} permissions")
    if any(entry.kind not in {"system", "project"} for entry in entries):
        raise BadRequestError("the kind of a permission is not valid", hint="use system or project")
    if any(access.effect not in {"", _ALLOW, _DENY} for entry in entries for access in entry.access):
        raise BadRequestError("the effect of a permission is not valid", hint="use allow or deny")
    if request.level == "project":
        if len(entries) != 1:
            raise BadRequestError("a robot of a project has exactly one permission entry")
        if entries[0].kind != "project" or entries[0].namespace in {"*", "/", ""}:
            raise BadRequestError("a robot of a project has permissions in that project alone")


def _project_of(connection: Connection, principal: Principal, request: RobotRequest) -> ProjectFacts | None:
    """Return the project that the robot will belong to, None for the system."""
    if request.level == "system":
        return None
    name = request.permissions[0].namespace
    project = find_project(connection, name, is_name=True)
    if project is None:
        require(principal, None, "create")
        raise NotFoundError(f"there is no project {name}")
    return project


def _resolve(
    connection: Connection, principal: Principal, entries: Sequence[PermissionEntry]
) -> tuple[RobotPermission, ...]:
    """Return the permissions that the entries stand for, each once."""
    found: dict[RobotPermission, None] = {}
    for entry in entries:
        is_system = entry.kind == "system"
        project_id = None
        if not is_system and entry.namespace != "*":
            project = find_project(connection, entry.namespace, is_name=True)
            if project is None:
                if not principal.is_sysadmin:  # who learnt more here could probe for names
                    raise ForbiddenError(
                        f"the robot would have more permissions than {principal.name}",
                        hint="grant only what you have yourself",
                    )
                raise NotFoundError(f"there is no project {entry.namespace}")
            project_id = project.id
        for access in entry.access:
            try:
                permissions = expand(is_system=is_system, resource=access.resource, action=access.action)
            except RobotInvalidError as error:
                raise BadRequestError(str(error), hint=error.hint) from error
            for permission in permissions:
                found[RobotPermission(is_system, project_id, permission, access.effect == _DENY)] = None
    return tuple(found)


def _get(connection: Connection, principal: Principal, robot_id: int) -> RobotView:
    return require_robot(connection, principal, robot_id, "read")


def _view(connection: Connection, robot_id: int) -> RobotView:
    stored = find_robot(connection, robot_id)
    if stored is None:
        raise NotFoundError(f"there is no robot {robot_id}")
    return _views(connection, [stored])[0]


def _list(
    connection: Connection, principal: Principal, query: ListQuery, project: str | None, *, is_name: bool
) -> tuple[list[RobotView], int]:
    facts = None
    if project is not None:
        facts = find_project(connection, project, is_name=is_name)
        if facts is None:
            require(principal, None, "list")
            raise NotFoundError(f"there is no project {project}")
    require(principal, facts, "list")
    robots, total = list_robots(connection, query, facts.id if facts else None)
    return _views(connection, robots), total


def _views(connection: Connection, robots: list[StoredRobot]) -> list[RobotView]:
    prefix = read_robot_prefix(connection)
    permissions = read_permissions_of(connection, [robot.id for robot in robots])
    ids = {each.project_id for found in permissions.values() for each in found if each.project_id}
    projects = find_projects_by_id(connection, ids)
    return [
        RobotView(
            robot,
            login_name(prefix, robot.name, robot.project_name),
            tuple(_entries(permissions[robot.id], projects)),
        )
        for robot in robots
    ]


def _entries(
    permissions: Iterable[RobotPermission], projects: Mapping[int, ProjectFacts]
) -> Iterable[PermissionEntry]:
    places: dict[tuple[str, str], list[Access]] = {}
    for each in permissions:
        if each.is_system:
            place = ("system", "/")
        elif each.project_id is None:
            place = ("project", "*")
        else:
            place = ("project", projects[each.project_id].name)
        resource, _, action = each.permission.partition(":")
        access = Access(resource, action, _DENY if each.is_denied else _ALLOW)
        places.setdefault(place, []).append(access)
    return [PermissionEntry(kind, namespace, tuple(access)) for (kind, namespace), access in places.items()]
