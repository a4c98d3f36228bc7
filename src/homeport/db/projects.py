"""Projects with their metadata: found, listed, made, changed and deleted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    update,
)

from homeport.db.dialect import insert_new, insert_or_replace, locked
from homeport.db.filtering import Columns, fetch_page
from homeport.db.schema import (
    blob,
    project,
    project_member,
    project_metadata,
    repository,
    repository_blob,
    user_account,
    user_group_member,
)
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import ProjectFacts
from homeport.rules.projects import ProjectScope

_MAX_ID = 2**63 - 1
_MAX_PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class StoredProject:
    """A project as it is shown; the allowlist is a JSON text."""

    id: int
    name: str
    is_public: bool
    owner_id: int | None
    owner_name: str | None
    registry_id: int | None
    cve_allowlist: str | None
    created_at: datetime
    updated_at: datetime
    repository_count: int

    @property
    def facts(self) -> ProjectFacts:
        """What permissions in it depend on."""
        return ProjectFacts(self.id, self.name, self.is_public)


@dataclass(frozen=True, slots=True)
class NewProject:
    """A checked project that is to be made."""

    name: str
    is_public: bool
    owner_id: int | None
    cve_allowlist: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectWish:
    """Which projects to list beside what the query says; None does not restrict."""

    scope: ProjectScope
    name_part: str | None = None
    is_public: bool | None = None
    owner: str | None = None


_REPOSITORIES = (
    select(func.count())
    .select_from(repository)
    .where(repository.c.project_id == project.c.id)
    .correlate(project)
    .scalar_subquery()
)
_UPDATED = func.coalesce(project.c.updated_at, project.c.created_at, type_=project.c.created_at.type)
_STORED = select(
    project.c.id,
    project.c.name,
    project.c.is_public,
    project.c.owner_id,
    user_account.c.username,
    project.c.registry_id,
    project.c.cve_allowlist,
    project.c.created_at,
    _UPDATED,
    _REPOSITORIES,
).select_from(project.outerjoin(user_account, user_account.c.id == project.c.owner_id))
_COLUMNS: Columns = {
    "project_id": project.c.id,
    "id": project.c.id,
    "name": project.c.name,
    "public": project.c.is_public,
    "owner": user_account.c.username,
    "owner_name": user_account.c.username,
    "owner_id": project.c.owner_id,
    "creation_time": project.c.created_at,
    "update_time": _UPDATED,
}


def find_project(connection: Connection, key: int | str) -> StoredProject | None:
    """Return the project of that id (a number) or name (a text), or None."""
    if isinstance(key, int) and not 0 < key <= _MAX_ID:
        return None
    column = project.c.id if isinstance(key, int) else project.c.name
    row = connection.execute(_STORED.where(column == key)).first()
    return None if row is None else _as_stored(row)


def find_projects(connection: Connection, project_ids: Iterable[int]) -> dict[int, StoredProject]:
    """Return those of the projects that exist, by id."""
    rows = connection.execute(_STORED.where(project.c.id.in_(sorted(project_ids))))
    return {row[0]: _as_stored(row) for row in rows}


def list_projects(
    connection: Connection, wish: ProjectWish, query: ListQuery
) -> tuple[list[StoredProject], int]:
    """Return a page of the projects and how many there are. Raises QueryInvalidError."""
    statement = _STORED.where(is_in_scope(wish.scope))
    if wish.name_part is not None:
        statement = statement.where(project.c.name.contains(wish.name_part, autoescape=True))
    if wish.is_public is not None:
        statement = statement.where(project.c.is_public == wish.is_public)
    if wish.owner is not None:
        statement = statement.where(user_account.c.username == wish.owner)
    rows, total = fetch_page(connection, statement, query, _COLUMNS, project.c.id)
    return [_as_stored(row) for row in rows], total


def search_projects(
    connection: Connection, scope: ProjectScope, part: str, limit: int
) -> list[StoredProject]:
    """Return up to `limit` visible projects whose names hold the text, by name."""
    statement = _STORED.where(is_in_scope(scope), project.c.name.contains(part, autoescape=True))
    rows = connection.execute(statement.order_by(project.c.name).limit(limit))
    return [_as_stored(row) for row in rows]


def count_projects(connection: Connection, scope: ProjectScope) -> dict[bool, tuple[int, int]]:
    """Return, for the visible private (False) and public (True) projects, how many and their repositories."""
    counts = {False: (0, 0), True: (0, 0)}
    statement = (
        select(project.c.is_public, func.count(), func.coalesce(func.sum(_REPOSITORIES), 0))
        .where(is_in_scope(scope))
        .group_by(project.c.is_public)
    )
    counts.update({bool(row[0]): (row[1], int(row[2])) for row in connection.execute(statement)})
    return counts


def total_blob_bytes(connection: Connection) -> int:
    """Return the bytes of the blobs that some repository has, each counted once."""
    linked = exists().where(repository_blob.c.digest == blob.c.digest)
    total = select(func.coalesce(func.sum(blob.c.size_bytes), 0)).where(linked)
    return int(connection.execute(total).scalar_one())


def is_in_scope(scope: ProjectScope) -> ColumnElement[bool]:
    """Return the condition that a project is one of those that somebody sees."""
    parts: list[ColumnElement[bool]] = [project.c.id.in_(sorted(scope.project_ids))]
    if scope.in_public:
        parts.append(project.c.is_public)
    if scope.everywhere:
        parts.append(project.c.id.not_in(sorted(scope.except_in)))
    return or_(false(), *parts)


def add_project(connection: Connection, new: NewProject, now: datetime) -> int | None:
    """Make the project and return its id, or None when the name is taken."""
    row = {
        "name": new.name,
        "is_public": new.is_public,
        "owner_id": new.owner_id,
        "cve_allowlist": new.cve_allowlist,
        "created_at": now,
        "updated_at": now,
    }
    return insert_new(connection, project, row)


def update_project(connection: Connection, project_id: int, values: Mapping[str, Any], now: datetime) -> None:
    """Change columns of the project; `updated_at` moves even when there are none."""
    connection.execute(update(project).where(project.c.id == project_id).values(**values, updated_at=now))


def lock_project(connection: Connection, project_id: int) -> bool:
    """Keep the project as it is until the transaction ends; False when it is gone.

    On PostgreSQL no repository is made in it meanwhile, and those made before are seen afterwards.
    """
    statement = select(project.c.id).where(project.c.id == project_id)
    return connection.execute(locked(connection, statement)).first() is not None


def has_repositories(connection: Connection, project_id: int) -> bool:
    """Tell whether there are repositories in the project."""
    return bool(connection.execute(select(exists().where(repository.c.project_id == project_id))).scalar())


def delete_project(connection: Connection, project_id: int) -> None:
    """Delete the project with all that is its own; the caller has locked it and seen no repositories."""
    connection.execute(delete(project).where(project.c.id == project_id))


def read_metadata(connection: Connection, projects: Sequence[StoredProject]) -> dict[int, dict[str, str]]:
    """Return the metadata of each of the projects, with `public`."""
    found = {each.id: {"public": "true" if each.is_public else "false"} for each in projects}
    ids = list(found)
    for start in range(0, len(ids), _MAX_PARAMETERS):
        rows = connection.execute(
            select(project_metadata.c.project_id, project_metadata.c.name, project_metadata.c.value).where(
                project_metadata.c.project_id.in_(ids[start : start + _MAX_PARAMETERS])
            )
        )
        for project_id, name, value in rows:
            found[project_id][name] = value
    return found


def set_metadata(connection: Connection, project_id: int, metadata: Mapping[str, str], now: datetime) -> None:
    """Set these values; `public` is the project's visibility."""
    values: dict[str, Any] = {}
    for name, value in metadata.items():
        if name == "public":
            values["is_public"] = value == "true"
        else:
            row = {"project_id": project_id, "name": name, "value": value}
            insert_or_replace(connection, project_metadata, row)
    update_project(connection, project_id, values, now)


def delete_metadata(connection: Connection, project_id: int, name: str, now: datetime) -> None:
    """Take a value away; a project without `public` is private."""
    if name == "public":
        update_project(connection, project_id, {"is_public": False}, now)
        return
    connection.execute(
        delete(project_metadata).where(
            project_metadata.c.project_id == project_id, project_metadata.c.name == name
        )
    )
    update_project(connection, project_id, {}, now)


def own_roles(connection: Connection, user_id: int, project_ids: Iterable[int]) -> dict[int, list[int]]:
    """Return the ids of the roles that the user has in the projects, itself and through its groups."""
    groups = select(user_group_member.c.group_id).where(user_group_member.c.user_id == user_id)
    rows = connection.execute(
        select(project_member.c.project_id, project_member.c.role_id)
        .where(
            project_member.c.project_id.in_(list(project_ids)),
            or_(project_member.c.user_id == user_id, project_member.c.group_id.in_(groups)),
        )
        .distinct()
        .order_by(project_member.c.role_id)
    )
    roles: dict[int, list[int]] = {}
    for project_id, role_id in rows:
        roles.setdefault(project_id, []).append(role_id)
    return roles


def _as_stored(row: Sequence[Any]) -> StoredProject:
    return StoredProject(*row)
