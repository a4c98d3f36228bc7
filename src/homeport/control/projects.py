"""Projects: made, changed, deleted, and their metadata, each change with its audit record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.changes import Change, record_change
from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PreconditionError,
)
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.members import NewMember, add_member, count_by_role
from homeport.db.projects import (
    NewProject,
    ProjectWish,
    StoredProject,
    add_project,
    delete_metadata,
    delete_project,
    find_project,
    has_repositories,
    list_projects,
    lock_project,
    own_roles,
    read_metadata,
    set_metadata,
    update_project,
)
from homeport.db.quotas import add_quota, default_storage_limit, read_state, set_hard_bytes
from homeport.db.users import find_user_by_id
from homeport.rules.listing import ListQuery
from homeport.rules.permissions import Principal, PrincipalKind, may_in_system
from homeport.rules.projects import (
    CveAllowlist,
    ProjectInvalidError,
    check_all_metadata,
    check_project_name,
)
from homeport.rules.quota import QuotaState, StorageLimitInvalidError, check_storage_limit
from homeport.rules.roles import ProjectRole


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What is wanted of a project; None leaves a part as it is, or at what new projects have."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    cve_allowlist: CveAllowlist | None = None
    storage_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project with what goes with it in answers."""

    project: StoredProject
    metadata: Mapping[str, str]
    role_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """What a project holds and who is in it."""

    repository_count: int
    member_counts: Mapping[int, int]
    quota: QuotaState | None


class Projects:
    """The projects of this registry; callers have checked the rights unless a method says that it does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: int | str) -> StoredProject | None:
        """Return the project of that id (a number) or name (a text), or None."""
        return await self._database.read(find_project, key)

    async def view(self, principal: Principal, project: StoredProject) -> ProjectView:
        """Return the project with its metadata and the principal's roles in it."""
        views = await self._database.read(views_of, principal, [project])
        return views[0]

    async def list(
        self, principal: Principal, wish: ProjectWish, query: ListQuery
    ) -> tuple[list[ProjectView], int]:
        """Return a page of the projects and how many there are. Raises QueryInvalidError."""
        return await self._database.read(_list, principal, wish, query)

    async def create(self, actor: Actor, principal: Principal, name: str, wanted: ProjectChange) -> int:
        """Make the project and return its id; a user who makes it becomes its administrator.

        Raises BadRequestError, ConflictError, and ForbiddenError for a storage limit of one's own choice
        without the right to set quotas.
        """
        try:
            check_project_name(name)
            _check_limit(wanted.storage_limit_bytes)
            metadata = check_all_metadata(wanted.metadata)
        except (ProjectInvalidError, StorageLimitInvalidError) as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        checked = ProjectChange(metadata, wanted.cve_allowlist, wanted.storage_limit_bytes)
        return await self._database.write(_create, actor, principal, name, checked)

    async def update(
        self, actor: Actor, principal: Principal, project_id: int, wanted: ProjectChange
    ) -> None:
        """Change what is wanted. Raises BadRequestError, NotFoundError, ForbiddenError as `create` does."""
        try:
            _check_limit(wanted.storage_limit_bytes)
            metadata = check_all_metadata(wanted.metadata)
        except (ProjectInvalidError, StorageLimitInvalidError) as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        checked = ProjectChange(metadata, wanted.cve_allowlist, wanted.storage_limit_bytes)
        await self._database.write(_update, actor, principal, project_id, checked)

    async def delete(self, actor: Actor, project_id: int) -> None:
        """Delete the project. Raises NotFoundError, and PreconditionError while repositories are in it."""
        await self._database.write(_delete, actor, project_id)

    async def is_deletable(self, project_id: int) -> bool:
        """Tell whether no repository stands against deleting the project."""
        return not await self._database.read(has_repositories, project_id)

    async def summary(self, project: StoredProject) -> ProjectSummary:
        """Return what the project holds and who is in it."""
        return await self._database.read(_summary, project)

    async def metadata(self, project: StoredProject) -> dict[str, str]:
        """Return the project's metadata."""
        found = await self._database.read(read_metadata, [project])
        return found[project.id]

    async def add_metadata(self, actor: Actor, project_id: int, metadata: Mapping[str, str]) -> None:
        """Set one value that was not set. Raises BadRequestError, ConflictError, NotFoundError."""
        checked = _one_pair(metadata)
        await self._database.write(_change_metadata, actor, project_id, checked, is_new=True)

    async def change_metadata(
        self, actor: Actor, project_id: int, name: str, metadata: Mapping[str, str]
    ) -> None:
        """Change one value that is set. Raises BadRequestError, NotFoundError."""
        checked = _one_pair(metadata)
        if name not in checked:
            raise BadRequestError(f"the body must have a value for {name[:255]}")
        await self._database.write(_change_metadata, actor, project_id, checked, is_new=False)

    async def delete_metadata(self, actor: Actor, project_id: int, name: str) -> None:
        """Take one value away. Raises NotFoundError."""
        await self._database.write(_delete_metadata, actor, project_id, name)


def _check_limit(limit_bytes: int | None) -> None:
    if limit_bytes is not None:
        check_storage_limit(limit_bytes)


def _one_pair(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(metadata) != 1:
        raise BadRequestError("only allow one key/value pair")
    try:
        return check_all_metadata(metadata)
    except ProjectInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error


def views_of(
    connection: Connection, principal: Principal, projects: list[StoredProject]
) -> list[ProjectView]:
    """Return the projects with their metadata and the principal's roles in them."""
    metadata = read_metadata(connection, projects)
    roles: dict[int, list[int]] = {}
    if principal.kind is PrincipalKind.USER and principal.user_id is not None:
        roles = own_roles(connection, principal.user_id, metadata)
    return [ProjectView(each, metadata[each.id], tuple(roles.get(each.id, ()))) for each in projects]


def _list(
    connection: Connection, principal: Principal, wish: ProjectWish, query: ListQuery
) -> tuple[list[ProjectView], int]:
    projects, total = list_projects(connection, wish, query)
    return views_of(connection, principal, projects), total


def _create(
    connection: Connection, actor: Actor, principal: Principal, name: str, wanted: ProjectChange
) -> int:
    now = datetime.now(UTC)
    limit = wanted.storage_limit_bytes
    if limit is not None and limit != default_storage_limit(connection):
        _require_quota_right(principal)
    owner_id = principal.user_id if principal.kind is PrincipalKind.USER else None
    if owner_id is not None and find_user_by_id(connection, owner_id) is None:
        raise ForbiddenError(f"the account {principal.name} was deleted")
    is_public = wanted.metadata.get("public") == "true"
    new = NewProject(name, is_public, owner_id, _allowlist_text(wanted.cve_allowlist))
    project_id = add_project(connection, new, now)
    if project_id is None:
        raise ConflictError(f"The project named {name} already exists")
    add_quota(connection, project_id, limit, now)
    set_metadata(connection, project_id, wanted.metadata, now)
    if owner_id is not None:
        member = NewMember(project_id, owner_id, None, int(ProjectRole.PROJECT_ADMIN), "")
        add_member(connection, member, now)
    after = _facts(connection, project_id)
    record_change(
        connection, actor, Change("create_project", Target(project=name, reference=name), after=after)
    )
    return project_id


def _update(
    connection: Connection, actor: Actor, principal: Principal, project_id: int, wanted: ProjectChange
) -> None:
    project = _locked(connection, project_id)
    now = datetime.now(UTC)
    before = _facts(connection, project_id)
    limit = wanted.storage_limit_bytes
    if limit is not None and limit != before["storage_limit"]:
        _require_quota_right(principal)
        set_hard_bytes(connection, project_id, limit, now)
    if wanted.cve_allowlist is not None:
        text = _allowlist_text(wanted.cve_allowlist)
        update_project(connection, project_id, {"cve_allowlist": text}, now)
    set_metadata(connection, project_id, wanted.metadata, now)
    _record_update(connection, actor, project, before)


def _delete(connection: Connection, actor: Actor, project_id: int) -> None:
    project = _locked(connection, project_id)
    if has_repositories(connection, project_id):
        raise PreconditionError(
            f"the project {project.name} contains repositories, can not be deleted",
            hint="delete its repositories first",
        )
    before = _facts(connection, project_id)
    delete_project(connection, project_id)
    target = Target(project=project.name, reference=project.name)
    record_change(connection, actor, Change("delete_project", target, before=before))


def _summary(connection: Connection, project: StoredProject) -> ProjectSummary:
    return ProjectSummary(
        project.repository_count, count_by_role(connection, project.id), read_state(connection, project.id)
    )


def _change_metadata(
    connection: Connection, actor: Actor, project_id: int, metadata: Mapping[str, str], *, is_new: bool
) -> None:
    project = _locked(connection, project_id)
    known = read_metadata(connection, [project])[project_id]
    for name in metadata:
        if is_new and name in known:
            raise ConflictError(f"the project has a value for {name} already", hint="change it with PUT")
        if not is_new and name not in known:
            raise NotFoundError(f"the project has no value for {name}")
    before = _facts(connection, project_id)
    set_metadata(connection, project_id, metadata, datetime.now(UTC))
    _record_update(connection, actor, project, before)


def _delete_metadata(connection: Connection, actor: Actor, project_id: int, name: str) -> None:
    project = _locked(connection, project_id)
    if name not in read_metadata(connection, [project])[project_id]:
        raise NotFoundError(f"the project has no value for {name[:255]}")
    before = _facts(connection, project_id)
    delete_metadata(connection, project_id, name, datetime.now(UTC))
    _record_update(connection, actor, project, before)


def _record_update(
    connection: Connection, actor: Actor, project: StoredProject, before: dict[str, object]
) -> None:
    after = _facts(connection, project.id)
    target = Target(project=project.name, reference=project.name)
    record_change(connection, actor, Change("update_project", target, before, after))


def _locked(connection: Connection, project_id: int) -> StoredProject:
    project = find_project(connection, project_id) if lock_project(connection, project_id) else None
    if project is None:
        raise NotFoundError(f"there is no project {project_id}")
    return project


def _require_quota_right(principal: Principal) -> None:
    if not may_in_system(principal, "quota:update"):
        raise ForbiddenError(f"{principal.name} may not set storage limits", hint="leave storage_limit out")


def _facts(connection: Connection, project_id: int) -> dict[str, object]:
    """Return what an audit record says of a project."""
    project = find_project(connection, project_id)
    if project is None:
        return {}
    state = read_state(connection, project_id)
    return {
        "project_id": project.id,
        "name": project.name,
        "metadata": read_metadata(connection, [project])[project_id],
        "storage_limit": None if state is None else state.hard_bytes,
        "cve_allowlist": None if project.cve_allowlist is None else json.loads(project.cve_allowlist),
    }


def _allowlist_text(allowlist: CveAllowlist | None) -> str | None:
    if allowlist is None:
        return None
    return json.dumps({"items": list(allowlist.cve_ids), "expires_at": allowlist.expires_at})
