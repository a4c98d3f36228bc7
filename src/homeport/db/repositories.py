"""Projects and repositories."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    or_,
    select,
    true,
    update,
)

from homeport.db.dialect import insert_or_keep
from homeport.db.filtering import Columns, fetch_page
from homeport.db.quotas import add_quota
from homeport.db.schema import manifest, project, quota, repository
from homeport.oci.errors import OciError, OciErrorCode
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import ProjectFacts
from homeport.rules.quota import UNLIMITED
from homeport.rules.visibility import RepositoryScope


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


@dataclass(frozen=True, slots=True)
class StoredRepository:
    """A repository as the lists of the control plane show it."""

    id: int
    project_id: int
    name: str
    description: str
    pull_count: int
    created_at: datetime
    updated_at: datetime | None


_STORED = (
    repository.c.id,
    repository.c.project_id,
    repository.c.name,
    repository.c.description,
    repository.c.pull_count,
    repository.c.created_at,
    repository.c.updated_at,
)
_COLUMNS: Columns = {
    "id": repository.c.id,
    "repository_id": repository.c.id,
    "project_id": repository.c.project_id,
    "name": repository.c.name,
    "description": repository.c.description,
    "pull_count": repository.c.pull_count,
    "creation_time": repository.c.created_at,
    "update_time": repository.c.updated_at,
}


def within(scope: RepositoryScope) -> ColumnElement[bool]:
    """Return the condition on `repository` joined with `project` that holds in the scope."""
    reach: list[ColumnElement[bool]] = []
    if scope.in_public:
        reach.append(project.c.is_public)
    if scope.projects:
        reach.append(project.c.id.in_(sorted(scope.projects)))
    reach.extend(
        and_(project.c.id == project_id, repository.c.name.regexp_match(expression))
        for project_id, expression in scope.patterns
    )
    outside = project.c.id.not_in(sorted(scope.except_in)) if scope.except_in else true()
    if scope.everywhere:
        reach.append(outside)
    reach.extend(
        and_(outside, repository.c.name.regexp_match(expression)) for expression in scope.patterns_everywhere
    )
    return or_(*reach) if reach else project.c.id < 0


def page_of_repositories(
    connection: Connection, scope: RepositoryScope, project_id: int | None, query: ListQuery
) -> tuple[list[StoredRepository], int]:
    """Return a page of the repositories in the scope, of one project or of all, and how many there are.

    Raises QueryInvalidError.
    """
    statement = select(*_STORED).join(project, project.c.id == repository.c.project_id)
    if project_id is not None:
        statement = statement.where(repository.c.project_id == project_id)
    statement = statement.where(within(scope))
    order = (repository.c.created_at.desc(), repository.c.id.desc())
    rows, total = fetch_page(connection, statement, query, _COLUMNS, *order)
    return [StoredRepository(*row) for row in rows], total


def find_repository(connection: Connection, repository_name: str) -> StoredRepository | None:
    """Return the repository of this name, or None."""
    row = connection.execute(select(*_STORED).where(repository.c.name == repository_name)).first()
    return None if row is None else StoredRepository(*row)


def set_description(connection: Connection, repository_id: int, description: str, now: datetime) -> None:
    """Replace the description."""
    connection.execute(
        update(repository)
        .where(repository.c.id == repository_id)
        .values(description=description, updated_at=now)
    )
