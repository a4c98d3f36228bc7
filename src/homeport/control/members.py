"""Members of projects: nobody hands out or takes away more than it may do itself."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from homeport.control.changes import Change, record_change
from homeport.control.errors import BadRequestError, ConflictError, ForbiddenError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.members import (
    NewMember,
    StoredMember,
    add_member,
    change_member,
    count_administrators,
    find_member,
    list_members,
    permissions_of_role,
    remove_member,
)
from homeport.db.projects import lock_project
from homeport.db.usergroups import find_group, find_same_group, insert_group
from homeport.db.users import find_user, find_user_by_id
from homeport.rules.listing import ListQuery
from homeport.rules.members import PatternInvalidError, check_pattern, may_hand_out
from homeport.rules.permissions import Principal, ProjectFacts
from homeport.rules.roles import ProjectRole
from homeport.rules.usergroups import GroupInvalidError, check_group

_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WantedUser:
    """A user by id or by name."""

    user_id: int = 0
    username: str = ""


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """A group by id, or by what it is called: one that is not known yet is made."""

    group_id: int = 0
    name: str = ""
    kind: int = 0
    ldap_group_dn: str = ""


@dataclass(frozen=True, slots=True)
class WantedRole:
    """The role, and for which repositories; a pattern of None leaves it as it is."""

    role_id: int
    repository_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class MemberEditor:
    """Who changes the members of which project."""

    actor: Actor
    principal: Principal
    project: ProjectFacts


class Members:
    """The members of projects; callers have checked the `member` permissions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, project: ProjectFacts, query: ListQuery, name_part: str
    ) -> tuple[list[StoredMember], int]:
        """Return a page of the members and how many there are."""
        return await self._database.read(list_members, project.id, query, name_part)

    async def find(self, project: ProjectFacts, member_id: int) -> StoredMember:
        """Return the member. Raises NotFoundError, for another project's member too."""
        return await self._database.read(_find, project, member_id)

    async def add(self, editor: MemberEditor, entity: WantedUser | WantedGroup, role: WantedRole) -> int:
        """Make a user or group a member and return the member's id.

        Raises BadRequestError, NotFoundError for an unknown user or group, ConflictError for who is one, and
        ForbiddenError for a role that may do more than the editor.
        """
        checked = WantedRole(role.role_id, _checked_pattern(role.repository_pattern) or "")
        return await self._database.write(_add, editor, entity, checked)

    async def update(self, editor: MemberEditor, member_id: int, role: WantedRole) -> None:
        """Give the member another role. Raises as `add` does; BadRequestError for the last administrator."""
        checked = WantedRole(role.role_id, _checked_pattern(role.repository_pattern))
        await self._database.write(_update, editor, member_id, checked)

    async def remove(self, editor: MemberEditor, member_id: int) -> None:
        """End the membership. Raises NotFoundError, ForbiddenError, BadRequestError as `update` does."""
        await self._database.write(_remove, editor, member_id)


def _checked_pattern(pattern: str | None) -> str | None:
    if pattern is None:
        return None
    try:
        return check_pattern(pattern)
    except PatternInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error


def _find(connection: Connection, project: ProjectFacts, member_id: int) -> StoredMember:
    member = find_member(connection, project.id, member_id) if 0 < member_id <= _MAX_ID else None
    if member is None:
        raise NotFoundError(f"the project has no member {member_id}")
    return member


def _add(
    connection: Connection, editor: MemberEditor, entity: WantedUser | WantedGroup, role: WantedRole
) -> int:
    project = editor.project
    _hold(connection, project)
    _check_role(connection, editor, role.role_id)
    now = datetime.now(UTC)
    user_id = group_id = None
    if isinstance(entity, WantedUser):
        user_id = _user_id(connection, entity)
    else:
        group_id = _group_id(connection, entity, now)
    new = NewMember(project.id, user_id, group_id, role.role_id, role.repository_pattern or "")
    try:
        member_id = add_member(connection, new, now)
    except IntegrityError as error:
        raise NotFoundError("the user or group was deleted meanwhile") from error
    if member_id is None:
        raise ConflictError("the project has this member already", hint="change its role with PUT")
    after = _facts(_find(connection, project, member_id))
    record_change(connection, editor.actor, Change("create_member", _target(project, after), after=after))
    return member_id


def _update(connection: Connection, editor: MemberEditor, member_id: int, role: WantedRole) -> None:
    project = editor.project
    _hold(connection, project)
    member = _find(connection, project, member_id)
    _check_role(connection, editor, member.role_id, is_known=True)
    _check_role(connection, editor, role.role_id)
    pattern = member.repository_pattern if role.repository_pattern is None else role.repository_pattern
    if role.role_id != ProjectRole.PROJECT_ADMIN or pattern:
        _check_not_last(connection, editor.principal, member)
    if not change_member(connection, member_id, role.role_id, pattern):
        raise ConflictError("the member has a role for these repositories already")
    before, after = _facts(member), _facts(_find(connection, project, member_id))
    change = Change("update_member", _target(project, after), before, after)
    record_change(connection, editor.actor, change)


def _remove(connection: Connection, editor: MemberEditor, member_id: int) -> None:
    _hold(connection, editor.project)
    member = _find(connection, editor.project, member_id)
    _check_role(connection, editor, member.role_id, is_known=True)
    _check_not_last(connection, editor.principal, member)
    remove_member(connection, member_id)
    before = _facts(member)
    change = Change("delete_member", _target(editor.project, before), before=before)
    record_change(connection, editor.actor, change)


def _hold(connection: Connection, project: ProjectFacts) -> None:
    if not lock_project(connection, project.id):
        raise NotFoundError(f"there is no project {project.name}")


def _check_role(
    connection: Connection, editor: MemberEditor, role_id: int, *, is_known: bool = False
) -> None:
    """Raise unless there is such a role and the editor may do all that it may; a known one may be gone."""
    permissions = permissions_of_role(connection, role_id) if 0 < role_id <= _MAX_ID else None
    if permissions is None:
        if is_known:
            return
        raise BadRequestError(
            f"there is no role {role_id}", hint="use 1 to 5, or the id of one of the custom roles"
        )
    if not may_hand_out(editor.principal, editor.project, permissions):
        raise ForbiddenError(
            f"{editor.principal.name} may not give or take a role that may do more than itself"
        )


def _check_not_last(connection: Connection, principal: Principal, member: StoredMember) -> None:
    is_administrator = member.role_id == ProjectRole.PROJECT_ADMIN and not member.repository_pattern
    if not is_administrator or principal.is_sysadmin:
        return
    if count_administrators(connection, member.project_id) <= 1:
        raise BadRequestError("the project would have no administrator", hint="make somebody else one first")


def _user_id(connection: Connection, wanted: WantedUser) -> int:
    if wanted.user_id:
        known = 0 < wanted.user_id <= _MAX_ID
        user = find_user_by_id(connection, wanted.user_id) if known else None
    elif wanted.username:
        user = find_user(connection, wanted.username)
    else:
        raise BadRequestError("member_user needs user_id or username")
    if user is None:
        raise NotFoundError(f"there is no user {wanted.username or wanted.user_id}")
    if wanted.username and user.username != wanted.username:
        raise BadRequestError("user_id and username are of different users")
    return user.id


def _group_id(connection: Connection, wanted: WantedGroup, now: datetime) -> int:
    if wanted.group_id:
        known = 0 < wanted.group_id <= _MAX_ID
        group = find_group(connection, wanted.group_id) if known else None
        if group is None:
            raise NotFoundError(f"there is no group {wanted.group_id}")
        return group.id
    name = wanted.name or wanted.ldap_group_dn.partition(",")[0].partition("=")[2]
    try:
        kind = check_group(wanted.kind, name, wanted.ldap_group_dn)
    except GroupInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error
    same = find_same_group(connection, kind, name, wanted.ldap_group_dn)
    if same is not None:
        return same.id
    made = insert_group(connection, kind, name, wanted.ldap_group_dn, now)
    if made is None:
        raise ConflictError(f"the group {name} is being made", hint="try again")
    return made


def _target(project: ProjectFacts, facts: dict[str, object]) -> Target:
    return Target(project=project.name, reference=str(facts["entity_name"]))


def _facts(member: StoredMember) -> dict[str, object]:
    """Return what an audit record says of a member."""
    return {
        "member_id": member.id,
        "entity_name": member.entity_name,
        "entity_type": "g" if member.user_id is None else "u",
        "role_id": member.role_id,
        "role_name": member.role_name,
        "repository_pattern": member.repository_pattern,
    }
