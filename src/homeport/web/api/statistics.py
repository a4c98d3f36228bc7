"""`/statistics`: how many projects and repositories the caller sees."""

from fastapi import APIRouter
from pydantic import BaseModel

from homeport.control.search import Search
from homeport.rules.permissions import may_in_system
from homeport.web.api.conventions import CallerParameter, ServicesParameter

router = APIRouter()


class StatisticsAnswer(BaseModel):
    """Counts; the totals are for those who see everything."""

    private_project_count: int
    private_repo_count: int
    public_project_count: int
    public_repo_count: int
    total_project_count: int = 0
    total_repo_count: int = 0
    total_storage_consumption: int = 0


@router.get("/statistics")
async def get_statistics(caller: CallerParameter, services: ServicesParameter) -> StatisticsAnswer:
    """Count the projects and repositories that the caller sees."""
    caller.require_login()
    search = Search(services.database)
    counts = await search.count(caller.principal)
    answer = StatisticsAnswer(
        private_project_count=counts.private_projects,
        private_repo_count=counts.private_repositories,
        public_project_count=counts.public_projects,
        public_repo_count=counts.public_repositories,
    )
    if may_in_system(caller.principal, "system-volumes:read"):
        answer.total_project_count = counts.private_projects + counts.public_projects
        answer.total_repo_count = counts.private_repositories + counts.public_repositories
        answer.total_storage_consumption = await search.total_bytes()
    return answer
