"""`/permissions`: what robots may be granted."""

from fastapi import APIRouter
from pydantic import BaseModel

from homeport.control.errors import ForbiddenError
from homeport.rules.permissions import may_in_system
from homeport.rules.robots import GRANTABLE_IN_PROJECT, GRANTABLE_IN_SYSTEM
from homeport.web.api.conventions import CallerParameter

router = APIRouter()


class PermissionModel(BaseModel):
    """Harbor's `Permission`."""

    resource: str
    action: str


class PermissionsModel(BaseModel):
    """Harbor's `Permissions`."""

    system: list[PermissionModel] | None = None
    project: list[PermissionModel]


@router.get("/permissions", response_model_exclude_none=True)
async def get_permissions(caller: CallerParameter) -> PermissionsModel:
    """Return what robots may be granted, to those who make them: in projects, and in the system."""
    caller.require_login()
    principal = caller.principal
    makes_in_system = may_in_system(principal, "robot:create")
    rights = principal.rights
    grants = (*rights.every_project, *(grant for grants in rights.projects.values() for grant in grants))
    if not makes_in_system and not any("robot:create" in grant.permissions for grant in grants):
        raise ForbiddenError(f"{principal.name} makes no robots")
    return PermissionsModel(
        system=_models(GRANTABLE_IN_SYSTEM) if makes_in_system else None,
        project=_models(GRANTABLE_IN_PROJECT),
    )


def _models(permissions: frozenset[str]) -> list[PermissionModel]:
    parts = (permission.partition(":") for permission in sorted(permissions))
    return [PermissionModel(resource=resource, action=action) for resource, _, action in parts]
