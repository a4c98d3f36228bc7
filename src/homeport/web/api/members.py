"""`/projects/{project}/members`: users and groups with their roles."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.control.errors import BadRequestError
from homeport.control.ldap import LdapAccounts
from homeport.control.members import MemberEditor, Members, WantedGroup, WantedRole, WantedUser
from homeport.db.members import StoredMember
from homeport.web.api.conventions import (
    ListParameter,
    ServicesParameter,
    set_location,
    set_page_headers,
)
from homeport.web.api.project_access import NO_NUL, NamedProject, NamedProjectParameter

router = APIRouter()

_LIST = "/projects/{project_name_or_id}/members"
_ONE = "/projects/{project_name_or_id}/members/{mid}"


class UserBody(BaseModel):
    """A user by id or by name."""

    user_id: int = 0
    username: str = Field("", max_length=255, pattern=NO_NUL)


class GroupBody(BaseModel):
    """A group by id, or by what it is called."""

    id: int = 0
    group_name: str = Field("", max_length=255, pattern=NO_NUL)
    group_type: int = 0
    ldap_group_dn: str = Field("", max_length=512, pattern=NO_NUL)


class RoleBody(BaseModel):
    """A role; the pattern (beyond Harbor) grants it only for repositories inside the project that match."""

    role_id: int = 0
    repository_pattern: str | None = Field(None, max_length=1024)


class MemberBody(RoleBody):
    """Who is to be a member, in which role."""

    member_user: UserBody | None = None
    member_group: GroupBody | None = None


class MemberAnswer(BaseModel):
    """A member of a project."""

    id: int
    project_id: int
    entity_name: str
    role_name: str
    role_id: int
    entity_id: int
    entity_type: str
    repository_pattern: str


@router.get(_LIST)
async def list_members(
    request: Request,
    response: Response,
    named: NamedProjectParameter,
    services: ServicesParameter,
    query: ListParameter,
    entityname: Annotated[str, Query(max_length=255, pattern=NO_NUL)] = "",
) -> list[MemberAnswer]:
    """List the members."""
    project = named.require("member:list")
    members, total = await Members(services.database).list(project.facts, query, entityname)
    set_page_headers(request, response, query, total)
    return [_answer(member) for member in members]


@router.post(_LIST, status_code=201)
async def create_member(
    body: MemberBody, request: Request, named: NamedProjectParameter, services: ServicesParameter
) -> Response:
    """Make a user or a group a member."""
    editor = _editor(named, "member:create")
    entity = _entity(body)
    if isinstance(entity, WantedUser) and not entity.user_id:
        directory = LdapAccounts(services.database, services.configuration, services.directory)
        await directory.ensure_account(editor.actor, entity.username)
    role = WantedRole(body.role_id, body.repository_pattern)
    member_id = await Members(services.database).add(editor, entity, role)
    answer = Response(status_code=201)
    set_location(request, answer, member_id)
    return answer


@router.get(_ONE)
async def get_member(mid: int, named: NamedProjectParameter, services: ServicesParameter) -> MemberAnswer:
    """Show a member."""
    editor = _editor(named, "member:read")
    return _answer(await Members(services.database).find(editor.project, mid))


@router.put(_ONE)
async def update_member(
    mid: int, body: RoleBody, named: NamedProjectParameter, services: ServicesParameter
) -> Response:
    """Give a member another role."""
    editor = _editor(named, "member:update")
    role = WantedRole(body.role_id, body.repository_pattern)
    await Members(services.database).update(editor, mid, role)
    return Response(status_code=200)


@router.delete(_ONE)
async def delete_member(mid: int, named: NamedProjectParameter, services: ServicesParameter) -> Response:
    """End a membership."""
    editor = _editor(named, "member:delete")
    await Members(services.database).remove(editor, mid)
    return Response(status_code=200)


def _editor(named: NamedProject, permission: str) -> MemberEditor:
    project = named.require(permission)
    return MemberEditor(named.caller.actor, named.caller.principal, project.facts)


def _entity(body: MemberBody) -> WantedUser | WantedGroup:
    user, group = body.member_user, body.member_group
    # clients send an empty object for the one that they do not mean
    if user is not None and (user.user_id or user.username):
        if group is not None and (group.id or group.group_name or group.ldap_group_dn):
            raise BadRequestError("a member is a user or a group, not both")
        return WantedUser(user.user_id, user.username)
    if group is None:
        raise BadRequestError("name a user (member_user) or a group (member_group)")
    return WantedGroup(group.id, group.group_name, group.group_type, group.ldap_group_dn)


def _answer(member: StoredMember) -> MemberAnswer:
    entity_id = member.user_id if member.user_id is not None else member.group_id
    return MemberAnswer(
        id=member.id,
        project_id=member.project_id,
        entity_name=member.entity_name,
        role_name=member.role_name,
        role_id=member.role_id,
        entity_id=entity_id or 0,
        entity_type="g" if member.user_id is None else "u",
        repository_pattern=member.repository_pattern,
    )
