"""What the search and the statistics show: only what the caller may see."""

from dataclasses import dataclass

from sqlalchemy import Connection

from homeport.control.projects import ProjectView, views_of
from homeport.db.artifacts import count_artifacts
from homeport.db.engine import Database
from homeport.db.projects import (
    StoredProject,
    count_projects,
    find_projects,
    search_projects,
    total_blob_bytes,
)
from homeport.db.repositories import StoredRepository, page_of_repositories
from homeport.rules.listing import MAX_PAGE_SIZE, Condition, ListQuery, Match, Order
from homeport.rules.permissions import Principal
from homeport.rules.projects import ProjectScope, project_scope
from homeport.rules.visibility import repository_scope


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository with the project that it is in."""

    stored: StoredRepository
    project: StoredProject
    artifact_count: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What a search found, at most a page of each."""

    projects: list[ProjectView]
    repositories: list[FoundRepository]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many projects and repositories somebody sees."""

    private_projects: int
    private_repositories: int
    public_projects: int
    public_repositories: int


class Search:
    """Finds projects and repositories by a part of their names, and counts them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, principal: Principal, text: str) -> Findings:
        """Return the projects and repositories whose names hold the text, those that the principal sees."""
        return await self._database.read(_find, principal, text)

    async def count(self, principal: Principal) -> Counts:
        """Return how many projects the principal sees, and the repositories in them."""
        return await self._database.read(_count, project_scope(principal))

    async def total_bytes(self) -> int:
        """Return the bytes of all blobs, each once."""
        return await self._database.read(total_blob_bytes)


def _find(connection: Connection, principal: Principal, text: str) -> Findings:
    projects = search_projects(connection, project_scope(principal), text, MAX_PAGE_SIZE)
    query = ListQuery((Condition("name", Match.FUZZY, (text,)),), (Order("name", False),), 1, MAX_PAGE_SIZE)
    scope = repository_scope(principal, "repository:list")
    rows, _ = page_of_repositories(connection, scope, None, query)
    counts = count_artifacts(connection, [row.id for row in rows])
    owners = find_projects(connection, {row.project_id for row in rows})
    repositories = [
        FoundRepository(row, owners[row.project_id], counts.get(row.id, 0))
        for row in rows
        if row.project_id in owners
    ]
    return Findings(views_of(connection, principal, projects), repositories)


def _count(connection: Connection, scope: ProjectScope) -> Counts:
    counts = count_projects(connection, scope)
    return Counts(*counts[False], *counts[True])
