"""Projects and repositories."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, or_, select

from homeport.db.dialect import insert_or_keep
from homeport.db.quotas import add_quota
from homeport.db.schema import manifest, project, quota, repository
from homeport.oci.errors import OciError, OciErrorCode
from homeport.rules.permissions import ProjectFacts
from homeport.rules.quota import UNLIMITED


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository name leads: its project, and the repository, each None while it does not exist."""

    repository_name: str
    project_name: str
    project_id: int | None
    is_public: bool
    repository_id: int | None
    storage_limit_bytes: int = UNLIMITED

    @property
    def project(self) -> ProjectFacts | None:
        """What permissions in the project depend on, or None when there is no such project."""
        if self.project_id is None:
            return None
        return ProjectFacts(self.project_id, self.project_name, self.is_public)


def project_of(repository_name: str) -> str:
    """Return the name of the project that a repository lives in: its first component."""
    return repository_name.partition("/")[0]


_LOCATE = (
    select(project.c.id, project.c.is_public, repository.c.id, quota.c.hard_bytes)
    .select_from(
        project.outerjoin(
            repository,
            (repository.c.project_id == project.c.id) & (repository.c.name == bindparam("repository")),
        ).outerjoin(quota, quota.c.project_id == project.c.id)
    )
    .where(project.c.name == bindparam("project"))
)
_REPOSITORY = select(repository.c.id, repository.c.project_id).where(
    repository.c.name == bindparam("repository")
)
_LOCKED_REPOSITORY = _REPOSITORY.with_for_update()


def locate(connection: Connection, repository_name: str) -> Location:
    """Return where the name leads; nothing is made."""
    project_name = project_of(repository_name)
    row = connection.execute(_LOCATE, {"repository": repository_name, "project": project_name}).first()
    if row is None:
        return Location(repository_name, project_name, None, is_public=False, repository_id=None)
    limit = UNLIMITED if row[3] is None else row[3]
    return Location(repository_name, project_name, row[0], row[1], row[2], limit)


def find_project_facts(connection: Connection, project_names: Iterable[str]) -> dict[str, ProjectFacts]:
    """Return what permissions depend on, for those of the projects that exist."""
    rows = connection.execute(
        select(project.c.id, project.c.name, project.c.is_public).where(
            project.c.name.in_(tuple(project_names))
        )
    )
    return {row[1]: ProjectFacts(row[0], row[1], row[2]) for row in rows}


def find_project_facts_by_id(connection: Connection, project_id: int) -> ProjectFacts | None:
    """Return what permissions depend on in the project with that id, or None."""
    found = select(project.c.id, project.c.name, project.c.is_public).where(project.c.id == project_id)
    row = connection.execute(found).first()
    return None if row is None else ProjectFacts(row[0], row[1], row[2])


def ensure_project(connection: Connection, name: str, now: datetime, *, is_public: bool = False) -> int:
    """Return the project's id; one that does not exist is made with the given visibility and a quota."""
    found = select(project.c.id).where(project.c.name == name)
    project_id: int | None = connection.execute(found).scalar()
    if project_id is not None:
        return project_id
    insert_or_keep(connection, project, {"name": name, "is_public": is_public, "created_at": now})
    made = int(connection.execute(found).scalar_one())
    add_quota(connection, made, None, now)
    return made


class ProjectGoneError(OciError):
    """The project was deleted after the request had been allowed in it."""

    def __init__(self, name: str) -> None:
        super().__init__(OciErrorCode.NAME_UNKNOWN, f"the project {name} was deleted meanwhile")


_PROJECT = select(project.c.id).where(project.c.name == bindparam("project"))
# what is inserted below the project needs it; locked, it cannot be deleted before that is committed
_HELD_PROJECT = _PROJECT.with_for_update(read=True, key_share=True)


def ensure_repository(
    connection: Connection, repository_name: str, now: datetime, *, project_id: int | None = None
) -> int:
    """Return the repository's id, made when it does not exist.

    `project_id` is the project that the caller was allowed in: when there is another by that name now, or
    none, this raises ProjectGoneError. None makes a private project where there is none.

    On PostgreSQL the repository's row is locked until the transaction ends, so that changes of one
    repository follow one another as they do on SQLite.
    """
    project_name = project_of(repository_name)
    on_postgresql = connection.dialect.name == "postgresql"
    known = connection.execute(
        _LOCKED_REPOSITORY if on_postgresql else _REPOSITORY, {"repository": repository_name}
    ).first()
    if known is not None:
        if project_id is not None and known.project_id != project_id:
            raise ProjectGoneError(project_name)
        return int(known.id)
    if project_id is None:
        project_id = ensure_project(connection, project_name, now)
    held = _HELD_PROJECT if on_postgresql else _PROJECT
    if connection.execute(held, {"project": project_name}).scalar() != project_id:
        raise ProjectGoneError(project_name)
    insert_or_keep(
        connection, repository, {"project_id": project_id, "name": repository_name, "created_at": now}
    )
    made = lock_repository(connection, repository_name)
    if made is None:
        raise LookupError(repository_name)
    return made


def lock_repository(connection: Connection, repository_name: str) -> int | None:
    """Return the repository's id, its row locked on PostgreSQL, or None when it does not exist."""
    # SQLite knows no row locks and has one writer
    statement = _LOCKED_REPOSITORY if connection.dialect.name == "postgresql" else _REPOSITORY
    repository_id: int | None = connection.execute(statement, {"repository": repository_name}).scalar()
    return repository_id


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whose repositories a list may show: everybody's, or those of public and of these projects."""

    shows_everything: bool
    project_ids: frozenset[int] = frozenset()


def list_repositories(
    connection: Connection, visibility: Visibility, *, after: str, limit: int
) -> list[tuple[str, ProjectFacts]]:
    """Return up to `limit` repositories with a manifest, those after `after`, in byte order, visible ones."""
    statement = (
        select(repository.c.name, project.c.id, project.c.name, project.c.is_public)
        .join(project, project.c.id == repository.c.project_id)
        .where(
            repository.c.name > after,
            exists().where(manifest.c.repository_id == repository.c.id),
        )
        .order_by(repository.c.name)
        .limit(limit)
    )
    if not visibility.shows_everything:
        statement = statement.where(
            or_(project.c.is_public, project.c.id.in_(sorted(visibility.project_ids)))
        )
    return [(row[0], ProjectFacts(row[1], row[2], row[3])) for row in connection.execute(statement)]
