"""`/labels`: global ones, and those of projects."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.control.errors import BadRequestError, NotFoundError
from homeport.control.labels import Labels
from homeport.control.projects import Projects
from homeport.db.labels import LabelText, StoredLabel
from homeport.rules.permissions import ProjectFacts, may_in_project
from homeport.web.api.conventions import (
    ApiCaller,
    CallerParameter,
    ListParameter,
    ServicesParameter,
    set_location,
    set_page_headers,
)
from homeport.web.api.project_access import NO_NUL
from homeport.web.api.services import Services

router = APIRouter()


class LabelBody(BaseModel):
    """What a label is to be; scope and project stay as they were made."""

    name: str = Field("", max_length=4096)
    description: str = Field("", max_length=65536)
    color: str = Field("", max_length=64)
    scope: str = Field("", max_length=8)
    project_id: int = 0


class LabelAnswer(BaseModel):
    """A label; the scope is `g` or `p`."""

    id: int
    name: str
    description: str
    color: str
    scope: str
    project_id: int | None = None
    creation_time: datetime
    update_time: datetime


@router.get("/labels", response_model_exclude_none=True)
async def list_labels(
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
    query: ListParameter,
    name: Annotated[str, Query(max_length=128, pattern=NO_NUL)] = "",
    scope: Literal["g", "p", ""] = "g",
    project_id: int = 0,
) -> list[LabelAnswer]:
    """List the global labels, or those of one project."""
    owner: int | None = None
    if scope == "p":
        project = await _project(services, project_id)
        caller.require_in_project(project, "label:list")
        owner = _known(project, project_id).id
    else:
        caller.require_login()
    labels, total = await Labels(services.database).list(owner, query, name)
    set_page_headers(request, response, query, total)
    return [_answer(label) for label in labels]


@router.post("/labels", status_code=201)
async def create_label(
    body: LabelBody, request: Request, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Make a label."""
    owner: int | None = None
    if body.scope == "p":
        project = await _project(services, body.project_id)
        caller.require_in_project(project, "label:create")
        owner = _known(project, body.project_id).id
    elif body.scope == "g":
        caller.require_in_system("label:create")
    else:
        caller.require_login()
        raise BadRequestError("the scope must be g (global) or p (of a project)")
    label_id = await Labels(services.database).add(caller.actor, owner, _text(body))
    answer = Response(status_code=201)
    set_location(request, answer, label_id)
    return answer


@router.get("/labels/{label_id}", response_model_exclude_none=True)
async def get_label(label_id: int, caller: CallerParameter, services: ServicesParameter) -> LabelAnswer:
    """Show a label."""
    return _answer(await _require(caller, services, label_id, "label:read"))


@router.put("/labels/{label_id}")
async def update_label(
    label_id: int, body: LabelBody, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Change a label's name, description and color."""
    label = await _require(caller, services, label_id, "label:update")
    await Labels(services.database).change(caller.actor, label.id, _text(body))
    return Response(status_code=200)


@router.delete("/labels/{label_id}")
async def delete_label(label_id: int, caller: CallerParameter, services: ServicesParameter) -> Response:
    """Delete a label."""
    label = await _require(caller, services, label_id, "label:delete")
    await Labels(services.database).delete(caller.actor, label.id)
    return Response(status_code=200)


async def _require(caller: ApiCaller, services: Services, label_id: int, permission: str) -> StoredLabel:
    """Return the label when the caller may do this; one that it may not even read seems not to exist."""
    label = await Labels(services.database).find(label_id)
    if label is not None and label.project_id is not None:
        project = await _project(services, label.project_id)
        if may_in_project(caller.principal, project, permission):
            return label
        if may_in_project(caller.principal, project, "label:read"):
            caller.require_in_project(project, permission)
        label = None
    caller.require_login()
    if label is None:
        raise NotFoundError(f"there is no label {label_id}")
    if permission != "label:read":
        caller.require_in_system(permission)
    return label


async def _project(services: Services, project_id: int) -> ProjectFacts | None:
    project = await Projects(services.database).find(project_id)
    return None if project is None else project.facts


def _known(project: ProjectFacts | None, project_id: int) -> ProjectFacts:
    if project is None:
        raise NotFoundError(f"project {project_id} not found")
    return project


def _text(body: LabelBody) -> LabelText:
    return LabelText(body.name, body.description, body.color)


def _answer(label: StoredLabel) -> LabelAnswer:
    return LabelAnswer(
        id=label.id,
        name=label.text.name,
        description=label.text.description,
        color=label.text.color,
        scope="g" if label.project_id is None else "p",
        project_id=label.project_id or 0,
        creation_time=label.created_at,
        update_time=label.updated_at,
    )
