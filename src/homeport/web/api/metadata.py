"""`/projects/{project}/metadatas`: the settings of a project, one at a time."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from homeport.control.errors import NotFoundError
from homeport.control.projects import Projects
from homeport.web.api.conventions import ServicesParameter
from homeport.web.api.project_access import NamedProjectParameter

router = APIRouter()

Pairs = Annotated[dict[str, str], Body()]
_LIST = "/projects/{project_name_or_id}/metadatas/"
_ONE = "/projects/{project_name_or_id}/metadatas/{meta_name}"


@router.get(_LIST.rstrip("/"), include_in_schema=False)
@router.get(_LIST)
async def list_metadata(named: NamedProjectParameter, services: ServicesParameter) -> dict[str, str]:
    """List the values that are set."""
    project = named.require("metadata:read")
    return await Projects(services.database).metadata(project)


@router.post(_LIST.rstrip("/"), include_in_schema=False)
@router.post(_LIST)
async def add_metadata(body: Pairs, named: NamedProjectParameter, services: ServicesParameter) -> Response:
    """Set one value that was not set."""
    project = named.require("metadata:create")
    await Projects(services.database).add_metadata(named.caller.actor, project.id, body)
    return Response(status_code=200)


@router.get(_ONE)
async def get_metadata(
    meta_name: str, named: NamedProjectParameter, services: ServicesParameter
) -> dict[str, str]:
    """Show one value."""
    project = named.require("metadata:read")
    metadata = await Projects(services.database).metadata(project)
    if meta_name not in metadata:
        raise NotFoundError(f"the project has no value for {meta_name[:255]}")
    return {meta_name: metadata[meta_name]}


@router.put(_ONE)
async def change_metadata(
    meta_name: str, body: Pairs, named: NamedProjectParameter, services: ServicesParameter
) -> Response:
    """Change one value that is set."""
    project = named.require("metadata:update")
    await Projects(services.database).change_metadata(named.caller.actor, project.id, meta_name, body)
    return Response(status_code=200)


@router.delete(_ONE)
async def delete_metadata(
    meta_name: str, named: NamedProjectParameter, services: ServicesParameter
) -> Response:
    """Take one value away."""
    project = named.require("metadata:delete")
    await Projects(services.database).delete_metadata(named.caller.actor, project.id, meta_name)
    return Response(status_code=200)
