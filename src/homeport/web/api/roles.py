"""`/roles`, beyond Harbor: the five roles and custom ones, named sets of permissions in projects."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from homeport.control.errors import NotFoundError, PreconditionError
from homeport.control.roles import Roles
from homeport.db.roles import RoleText, StoredRole
from homeport.rules.members import ROLE_NAMES
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole
from homeport.web.api.conventions import CallerParameter, ServicesParameter, set_location
from homeport.web.api.project_access import NO_NUL

router = APIRouter()

_MAX_PERMISSIONS = 500


class PermissionBody(BaseModel):
    """What may be done to which kind of thing; the resource `.` is the project itself."""

    resource: str = Field(max_length=64)
    action: str = Field(max_length=64)


class RoleRequest(BaseModel):
    """What a custom role is to be."""

    name: str = Field(max_length=255)
    description: str = Field("", max_length=1024, pattern=NO_NUL)
    permissions: list[PermissionBody] = Field(max_length=_MAX_PERMISSIONS)


class RoleAnswer(BaseModel):
    """A role."""

    id: int
    name: str
    description: str
    builtin: bool
    permissions: list[PermissionBody]
    creation_time: datetime | None = None
    update_time: datetime | None = None


@router.get("/roles", response_model_exclude_none=True)
async def list_roles(caller: CallerParameter, services: ServicesParameter) -> list[RoleAnswer]:
    """List all roles, Harbor's first."""
    caller.require_login()
    custom = await Roles(services.database).list()
    return [*(_built_in(role_id) for role_id in ROLE_NAMES), *(_answer(role) for role in custom)]


@router.post("/roles", status_code=201)
async def create_role(
    body: RoleRequest, request: Request, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Make a custom role."""
    caller.require_in_system("role:create")
    role_id = await Roles(services.database).add(caller.actor, _wanted(body))
    answer = Response(status_code=201)
    set_location(request, answer, role_id)
    return answer


@router.get("/roles/{role_id}", response_model_exclude_none=True)
async def get_role(role_id: int, caller: CallerParameter, services: ServicesParameter) -> RoleAnswer:
    """Show a role."""
    caller.require_login()
    if role_id in ROLE_NAMES:
        return _built_in(role_id)
    role = await Roles(services.database).find(role_id)
    if role is None:
        raise NotFoundError(f"there is no role {role_id}")
    return _answer(role)


@router.put("/roles/{role_id}")
async def update_role(
    role_id: int, body: RoleRequest, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Change a custom role; its members have the new permissions at once."""
    caller.require_in_system("role:update")
    _refuse_built_in(role_id)
    await Roles(services.database).change(caller.actor, role_id, _wanted(body))
    return Response(status_code=200)


@router.delete("/roles/{role_id}")
async def delete_role(role_id: int, caller: CallerParameter, services: ServicesParameter) -> Response:
    """Delete a custom role that nobody has."""
    caller.require_in_system("role:delete")
    _refuse_built_in(role_id)
    await Roles(services.database).delete(caller.actor, role_id)
    return Response(status_code=200)


def _refuse_built_in(role_id: int) -> None:
    if role_id in ROLE_NAMES:
        raise PreconditionError(f"{ROLE_NAMES[role_id]} is a role that every project has")


def _wanted(body: RoleRequest) -> RoleText:
    permissions = frozenset(f"{each.resource}:{each.action}" for each in body.permissions)
    return RoleText(body.name, body.description, permissions)


def _built_in(role_id: int) -> RoleAnswer:
    permissions = ROLE_PERMISSIONS[ProjectRole(role_id)]
    return RoleAnswer(
        id=role_id,
        name=ROLE_NAMES[role_id],
        description="",
        builtin=True,
        permissions=_bodies(permissions),
    )


def _answer(role: StoredRole) -> RoleAnswer:
    return RoleAnswer(
        id=role.id,
        name=role.text.name,
        description=role.text.description,
        builtin=False,
        permissions=_bodies(role.text.permissions),
        creation_time=role.created_at,
        update_time=role.updated_at,
    )


def _bodies(permissions: frozenset[str]) -> list[PermissionBody]:
    pairs = [permission.partition(":") for permission in sorted(permissions)]
    return [PermissionBody(resource=resource, action=action) for resource, _, action in pairs]
