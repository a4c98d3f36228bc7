"""Projects and repositories."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, select

from homeport.db.dialect import insert_or_keep, locked
from homeport.db.schema import manifest, project, repository


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository name leads: its project, and the repository, each None while it does not exist."""

    repository_name: str
    project_name: str
    project_id: int | None
    is_public: bool
    repository_id: int | None


def project_of(repository_name: str) -> str:
    """Return the name of the project that a repository lives in: its first component."""
    return repository_name.partition("/")[0]


def locate(connection: Connection, repository_name: str) -> Location:
    """Return where the name leads; nothing is made."""
    project_name = project_of(repository_name)
    row = connection.execute(
        select(project.c.id, project.c.is_public, repository.c.id)
        .select_from(
            project.outerjoin(
                repository,
                (repository.c.project_id == project.c.id) & (repository.c.name == repository_name),
            )
        )
        .where(project.c.name == project_name)
    ).first()
    if row is None:
        return Location(repository_name, project_name, None, is_public=False, repository_id=None)
    return Location(repository_name, project_name, row[0], is_public=row[1], repository_id=row[2])


def find_visibilities(connection: Connection, project_names: Iterable[str]) -> dict[str, bool]:
    """Return whether they are public, for those of the projects that exist."""
    rows = connection.execute(
        select(project.c.name, project.c.is_public).where(project.c.name.in_(tuple(project_names)))
    )
    return {row[0]: row[1] for row in rows}


def ensure_project(connection: Connection, name: str, now: datetime, *, is_public: bool = False) -> int:
    """Return the project's id; one that does not exist is made with the given visibility."""
    found = select(project.c.id).where(project.c.name == name)
    project_id: int | None = connection.execute(found).scalar()
    if project_id is not None:
        return project_id
    insert_or_keep(connection, project, {"name": name, "is_public": is_public, "created_at": now})
    return int(connection.execute(found).scalar_one())


def ensure_repository(connection: Connection, repository_name: str, now: datetime) -> int:
    """Return the repository's id, made (with its project, private) when it does not exist.

    On PostgreSQL its row is locked until the transaction ends, so that changes of one repository follow one
    another as they do on SQLite.
    """
    found = locked(connection, select(repository.c.id).where(repository.c.name == repository_name))
    repository_id: int | None = connection.execute(found).scalar()
    if repository_id is not None:
        return repository_id
    project_id = ensure_project(connection, project_of(repository_name), now)
    insert_or_keep(
        connection, repository, {"project_id": project_id, "name": repository_name, "created_at": now}
    )
    return int(connection.execute(found).scalar_one())


def lock_repository(connection: Connection, repository_name: str) -> int | None:
    """Return the repository's id, its row locked on PostgreSQL, or None when it does not exist."""
    found = locked(connection, select(repository.c.id).where(repository.c.name == repository_name))
    repository_id: int | None = connection.execute(found).scalar()
    return repository_id


def list_repositories(
    connection: Connection, *, after: str, limit: int, is_restricted_to_public: bool
) -> list[str]:
    """Return up to `limit` names of repositories with a manifest, those after `after`, in byte order."""
    statement = (
        select(repository.c.name)
        .where(
            repository.c.name > after,
            exists().where(manifest.c.repository_id == repository.c.id),
        )
        .order_by(repository.c.name)
        .limit(limit)
    )
    if is_restricted_to_public:
        statement = statement.join(project, project.c.id == repository.c.project_id).where(
            project.c.is_public
        )
    return list(connection.execute(statement).scalars())
