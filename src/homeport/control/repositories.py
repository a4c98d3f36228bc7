"""Repositories: which there are, what is said of them, and their end."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.errors import NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.artifact_changes import delete_repository
from homeport.db.artifacts import count_artifacts
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.repositories import (
    StoredRepository,
    find_repository,
    lock_repository,
    page_of_repositories,
    set_description,
)
from homeport.rules.listing import ListQuery
from homeport.rules.visibility import RepositoryScope


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and how many artifacts it lists."""

    stored: StoredRepository
    artifact_count: int


class Repositories:
    """The repositories of the registry; the caller has checked the rights."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, scope: RepositoryScope, query: ListQuery, *, project_id: int | None = None
    ) -> tuple[list[Repository], int]:
        """Return a page of the repositories in the scope and how many there are. Raises QueryInvalidError."""
        return await self._database.read(_list, scope, query, project_id)

    async def get(self, name: str) -> Repository:
        """Return the repository. Raises NotFoundError."""
        return await self._database.read(_get, name)

    async def describe(self, actor: Actor, name: str, description: str) -> None:
        """Replace the description. Raises NotFoundError."""
        await self._database.write(_describe, actor, name, description)

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete the repository with every artifact, tag and link to a blob. Raises NotFoundError."""
        await self._database.write(_delete, actor, name)


def _list(
    connection: Connection, scope: RepositoryScope, query: ListQuery, project_id: int | None
) -> tuple[list[Repository], int]:
    rows, total = page_of_repositories(connection, scope, project_id, query)
    counts = count_artifacts(connection, [row.id for row in rows])
    return [Repository(row, counts.get(row.id, 0)) for row in rows], total


def _get(connection: Connection, name: str) -> Repository:
    found = find_repository(connection, name)
    if found is None:
        raise NotFoundError(f"repository {name} not found")
    return Repository(found, count_artifacts(connection, [found.id]).get(found.id, 0))


def _describe(connection: Connection, actor: Actor, name: str, description: str) -> None:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise NotFoundError(f"repository {name} not found")
    before = find_repository(connection, name)
    set_description(connection, repository_id, description, datetime.now(UTC))
    record = actor.record(
        "update_repository",
        Target(name),
        before={"description": before.description if before else ""},
        after={"description": description},
    )
    add_records(connection, [record])


def _delete(connection: Connection, actor: Actor, name: str) -> None:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise NotFoundError(f"repository {name} not found")
    count = delete_repository(connection, repository_id)
    add_records(connection, [actor.record("delete_repository", Target(name), detail=f"{count} artifacts")])
