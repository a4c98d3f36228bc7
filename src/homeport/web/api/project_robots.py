"""`/projects/{project_name_or_id}/robots`: robots as clients of before Harbor 2.2 ask for them."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from homeport.control.project_robots import ProjectRobots, expiry_of, requested_access
from homeport.control.robots import RobotRequest
from homeport.rules.robots import NEVER
from homeport.web.api.conventions import (
    CallerParameter,
    ListParameter,
    ServicesParameter,
    is_resource_name,
    set_location,
    set_page_headers,
)
from homeport.web.api.robots import (
    AccessModel,
    RobotCreatedModel,
    RobotModel,
    RowId,
    created_model,
    get_robots,
    robot_model,
)
from homeport.web.api.services import Services

router = APIRouter()

ProjectName = Annotated[str, Path(max_length=255)]


class OldRobotBody(BaseModel):
    """Harbor's `RobotCreateV1`."""

    name: str = Field(max_length=512)
    description: str = Field("", max_length=1024)
    expires_at: int = 0
    access: list[AccessModel] = Field(default_factory=list, max_length=500)


class OldRobotChange(BaseModel):
    """What of Harbor's `Robot` can be changed by way of the project."""

    model_config = ConfigDict(extra="ignore")

    disable: bool = False
    description: str | None = Field(None, max_length=1024)


@router.get("/projects/{project_name_or_id}/robots", response_model_exclude_none=True)
async def list_project_robots(
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
    project_name_or_id: ProjectName,
    query: ListParameter,
) -> list[RobotModel]:
    """List the robots of a project."""
    caller.require_login()
    views, total = await _of(services, request, project_name_or_id).list(caller.principal, query)
    set_page_headers(request, response, query, total)
    return [robot_model(view) for view in views]


@router.post("/projects/{project_name_or_id}/robots", status_code=201)
async def create_project_robot(
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
    project_name_or_id: ProjectName,
    body: OldRobotBody,
) -> RobotCreatedModel:
    """Make a robot of a project; its secret is shown this once."""
    caller.require_login()
    wanted = RobotRequest(
        name=body.name,
        level="project",
        description=body.description,
        duration_days=NEVER if body.expires_at == NEVER else None,
        permissions=requested_access(
            [(each.resource, each.action, each.effect or "") for each in body.access]
        ),
    )
    created = await _of(services, request, project_name_or_id).create(
        caller.principal, caller.actor, wanted, expiry_of(body.expires_at)
    )
    set_location(request, response, created.id)
    return created_model(created)


@router.get("/projects/{project_name_or_id}/robots/{robot_id}", response_model_exclude_none=True)
async def get_project_robot(
    request: Request,
    robot_id: RowId,
    caller: CallerParameter,
    services: ServicesParameter,
    project_name_or_id: ProjectName,
) -> RobotModel:
    """Return one robot of a project."""
    caller.require_login()
    return robot_model(await _of(services, request, project_name_or_id).get(caller.principal, robot_id))


@router.put("/projects/{project_name_or_id}/robots/{robot_id}")
async def update_project_robot(
    request: Request,
    robot_id: RowId,
    caller: CallerParameter,
    services: ServicesParameter,
    project_name_or_id: ProjectName,
    body: OldRobotChange,
) -> None:
    """Disable or enable a robot of a project."""
    caller.require_login()
    await _of(services, request, project_name_or_id).update(
        caller.principal, caller.actor, robot_id, is_disabled=body.disable, description=body.description
    )


@router.delete("/projects/{project_name_or_id}/robots/{robot_id}")
async def delete_project_robot(
    request: Request,
    robot_id: RowId,
    caller: CallerParameter,
    services: ServicesParameter,
    project_name_or_id: ProjectName,
) -> None:
    """Delete a robot of a project."""
    caller.require_login()
    await _of(services, request, project_name_or_id).delete(caller.principal, caller.actor, robot_id)


def _of(services: Services, request: Request, project: str) -> ProjectRobots:
    return ProjectRobots(services.database, get_robots(services), (project, is_resource_name(request)))
