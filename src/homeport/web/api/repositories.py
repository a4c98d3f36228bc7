"""`/repositories` and `/projects/{project_name}/repositories`, as Harbor's API serves them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from homeport.control.errors import NotFoundError
from homeport.control.repositories import Repositories, Repository
from homeport.db.repositories import Location
from homeport.oci.name import parse_repository_name
from homeport.rules.permissions import may_somewhere_in_project
from homeport.rules.visibility import repository_scope
from homeport.web.api.conventions import (
    ApiCaller,
    CallerParameter,
    ListingParameter,
    ServicesParameter,
    repository_part,
)
from homeport.web.api.services import Services

router = APIRouter(tags=["repository"])

ProjectName = Annotated[str, Path(max_length=255)]
RepositoryName = Annotated[str, Path(max_length=1024)]

_REPOSITORIES = "/projects/{project_name}/repositories"
_REPOSITORY = _REPOSITORIES + "/{repository_name}"


class RepositoryAnswer(BaseModel):
    """A repository."""

    id: int
    project_id: int
    name: str
    description: str | None = None
    artifact_count: int
    pull_count: int
    creation_time: datetime
    update_time: datetime


class RepositoryBody(BaseModel):
    """What may be changed of a repository; the rest is ignored."""

    description: Annotated[str, Field(max_length=64 * 1024, pattern=r"^[^\x00]*$")] | None = None


async def require_repository(
    services: Services, caller: ApiCaller, names: tuple[str, str], *permissions: str
) -> Location:
    """Return where the project's and the repository's names lead.

    Raises NameInvalidError, UnauthenticatedError or ForbiddenError unless the caller has every permission,
    and NotFoundError for a repository that does not exist.
    """
    location = await locate_repository(services, caller, names, *permissions)
    if location.repository_id is None:
        raise NotFoundError(f"repository {location.repository_name} not found")
    return location


async def locate_repository(
    services: Services, caller: ApiCaller, names: tuple[str, str], *permissions: str
) -> Location:
    """Return where the names lead, the repository may be missing; raises as `require_repository`."""
    project_name, repository_name = names
    name = parse_repository_name(f"{project_name}/{repository_part(repository_name)}")
    location = await services.puller.locate(name)
    for permission in permissions:
        caller.require_in_project(location.project, permission, name)
    if location.project is None:
        raise NotFoundError(f"project {project_name} not found")
    return location


def answer_repository(repository: Repository) -> RepositoryAnswer:
    """Return the repository as the API shows it."""
    stored = repository.stored
    return RepositoryAnswer(
        id=stored.id,
        project_id=stored.project_id,
        name=stored.name,
        description=stored.description or None,
        artifact_count=repository.artifact_count,
        pull_count=stored.pull_count,
        creation_time=stored.created_at,
        update_time=stored.updated_at or stored.created_at,
    )


@router.get("/repositories", response_model_exclude_none=True)
async def list_all_repositories(
    services: ServicesParameter, caller: CallerParameter, listing: ListingParameter
) -> list[RepositoryAnswer]:
    """List the repositories of all projects that the caller may list."""
    scope = repository_scope(caller.principal, "repository:list")
    found, total = await Repositories(services.database).page(scope, listing.query)
    listing.set_total(total)
    return [answer_repository(repository) for repository in found]


@router.get(_REPOSITORIES, response_model_exclude_none=True)
async def list_repositories(
    services: ServicesParameter,
    caller: CallerParameter,
    listing: ListingParameter,
    project_name: ProjectName,
) -> list[RepositoryAnswer]:
    """List the project's repositories, those that the caller may list."""
    project = (await services.puller.locate(parse_repository_name(project_name))).project
    if not may_somewhere_in_project(caller.principal, project, "repository:list"):
        caller.require_in_project(project, "repository:list")
    if project is None:
        raise NotFoundError(f"project {project_name} not found")
    scope = repository_scope(caller.principal, "repository:list")
    found, total = await Repositories(services.database).page(scope, listing.query, project_id=project.id)
    listing.set_total(total)
    return [answer_repository(repository) for repository in found]


@router.get(_REPOSITORY, response_model_exclude_none=True)
async def get_repository(
    services: ServicesParameter,
    caller: CallerParameter,
    project_name: ProjectName,
    repository_name: RepositoryName,
) -> RepositoryAnswer:
    """Return the repository."""
    names = (project_name, repository_name)
    location = await require_repository(services, caller, names, "repository:read")
    return answer_repository(await Repositories(services.database).get(location.repository_name))


@router.put(_REPOSITORY)
async def update_repository(
    services: ServicesParameter,
    caller: CallerParameter,
    project_name: ProjectName,
    repository_name: RepositoryName,
    body: RepositoryBody,
) -> None:
    """Replace the repository's description."""
    names = (project_name, repository_name)
    location = await require_repository(services, caller, names, "repository:update")
    repositories = Repositories(services.database)
    await repositories.describe(caller.actor, location.repository_name, body.description or "")


@router.delete(_REPOSITORY)
async def delete_repository(
    services: ServicesParameter,
    caller: CallerParameter,
    project_name: ProjectName,
    repository_name: RepositoryName,
) -> None:
    """Delete the repository with all that is in it."""
    names = (project_name, repository_name)
    location = await require_repository(services, caller, names, "repository:delete")
    await Repositories(services.database).delete(caller.actor, location.repository_name)
