"""`/search`: projects and repositories by a part of their names."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from homeport.control.search import FoundRepository, Search
from homeport.web.api.conventions import CallerParameter, ServicesParameter
from homeport.web.api.project_access import NO_NUL
from homeport.web.api.projects import ProjectAnswer, project_answer

router = APIRouter()


class RepositoryFound(BaseModel):
    """A repository that was found."""

    project_id: int
    project_name: str
    project_public: bool
    repository_name: str
    pull_count: int
    artifact_count: int


class SearchAnswer(BaseModel):
    """What was found."""

    project: list[ProjectAnswer]
    repository: list[RepositoryFound]


@router.get("/search", response_model_exclude_none=True)
async def search(
    caller: CallerParameter,
    services: ServicesParameter,
    q: Annotated[str, Query(max_length=255, pattern=NO_NUL)],
) -> SearchAnswer:
    """Find projects and repositories that the caller may see."""
    found = await Search(services.database).find(caller.principal, q)
    return SearchAnswer(
        project=[project_answer(view) for view in found.projects],
        repository=[_answer(repository) for repository in found.repositories],
    )


def _answer(found: FoundRepository) -> RepositoryFound:
    return RepositoryFound(
        project_id=found.project.id,
        project_name=found.project.name,
        project_public=found.project.is_public,
        repository_name=found.stored.name,
        pull_count=found.stored.pull_count,
        artifact_count=found.artifact_count,
    )
