"""Robots by way of their project, as clients of before Harbor 2.2 ask for them."""

from dataclasses import replace
from datetime import datetime
from math import ceil

from homeport.auth.clock import Clock, utc_now
from homeport.control.errors import BadRequestError, NotFoundError
from homeport.control.robots import (
    Access,
    CreatedRobot,
    PermissionEntry,
    RobotRequest,
    Robots,
    RobotView,
)
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.robots import find_project
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import Principal
from homeport.rules.robots import NEVER

_DAY_S = 86_400


class ProjectRobots:
    """Robots of one project, named by its name or id; asks for the rights and raises as `Robots` does."""

    def __init__(
        self, database: Database, robots: Robots, project: tuple[str, bool], clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._robots = robots
        self._name_or_id, self._is_name = project
        self._clock = clock

    async def create(
        self, principal: Principal, actor: Actor, request: RobotRequest, expires_at: datetime | None
    ) -> CreatedRobot:
        """Make the robot, with the one entry of the request's permissions for the project."""
        days = None
        if expires_at is not None:
            days = ceil((expires_at - self._clock()).total_seconds() / _DAY_S)
            if days < 1:
                raise BadRequestError("the robot would have ended already")
        name = await self._project_name()
        access = tuple(
            replace(each, resource=_relative(each.resource))
            for entry in request.permissions
            for each in entry.access
        )
        entry = PermissionEntry("project", name, access)
        wanted = replace(
            request,
            level="project",
            permissions=(entry,),
            duration_days=request.duration_days if days is None else days,
            expires_at=expires_at,
        )
        return await self._robots.create(principal, actor, wanted)

    async def list(self, principal: Principal, query: ListQuery) -> tuple[list[RobotView], int]:
        """Return a page of the project's robots and how many there are."""
        return await self._robots.list(principal, query, self._name_or_id, is_name=self._is_name)

    async def get(self, principal: Principal, robot_id: int) -> RobotView:
        """Return one robot of the project."""
        view = await self._robots.get(principal, robot_id)
        if view.stored.project_name != await self._project_name():
            raise NotFoundError(f"there is no robot {robot_id}")
        return view

    async def update(
        self, principal: Principal, actor: Actor, robot_id: int, *, is_disabled: bool, description: str | None
    ) -> None:
        """Disable or enable the robot, and change its description unless that is None."""
        view = await self.get(principal, robot_id)
        request = RobotRequest(
            name="",
            level="",
            description=view.stored.description if description is None else description,
            is_disabled=is_disabled,
            permissions=view.permissions,
        )
        await self._robots.update(principal, actor, robot_id, request)

    async def delete(self, principal: Principal, actor: Actor, robot_id: int) -> None:
        """Delete the robot."""
        await self.get(principal, robot_id)
        await self._robots.delete(principal, actor, robot_id)

    async def _project_name(self) -> str:
        """Return the project's name; of one that does not exist, what was asked for."""
        facts = await self._database.read(find_project, self._name_or_id, is_name=self._is_name)
        return self._name_or_id if facts is None else facts.name


def requested_access(pairs: list[tuple[str, str, str]]) -> tuple[PermissionEntry, ...]:
    """Return resources, actions and effects as the one permission entry of a request."""
    return (PermissionEntry("project", "", tuple(Access(*pair) for pair in pairs)),)


def expiry_of(epoch_s: int) -> datetime | None:
    """Return the moment, None for 0 (as configured) and -1 (never). Raises BadRequestError."""
    if epoch_s in {0, NEVER}:
        return None
    try:
        return datetime.fromtimestamp(epoch_s, tz=utc_now().tzinfo)
    except (ValueError, OverflowError, OSError):
        raise BadRequestError("the robot's end is no time") from None


def _relative(resource: str) -> str:
    """Return the resource without the project that clients of old put before it (`/project/1/repository`)."""
    parts = resource.split("/")
    return "/".join(parts[3:]) if parts[:2] == ["", "project"] and len(parts) > 3 else resource  # noqa: PLR2004 - ids come third
