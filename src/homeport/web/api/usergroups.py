"""`/usergroups`: groups of LDAP, OIDC and authenticating proxies, as Harbor's API serves them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.control.usergroups import UserGroups
from homeport.db.usergroups import StoredGroup
from homeport.rules.usergroups import GroupKind
from homeport.web.api.conventions import (
    CallerParameter,
    ListingParameter,
    ServicesParameter,
    set_location,
)

router = APIRouter(tags=["usergroup"])

GroupId = Annotated[int, Path(ge=1 - 2**63, le=2**63 - 1)]
_Text = Annotated[str, Field(max_length=1024)]


class GroupBody(BaseModel):
    """A group to be made, or its new name."""

    group_name: _Text = ""
    group_type: int = 0
    ldap_group_dn: _Text = ""


class GroupAnswer(BaseModel):
    """A group; only those of LDAP have a distinguished name."""

    id: int
    group_name: str
    group_type: int
    ldap_group_dn: str | None = None


class FoundGroup(BaseModel):
    """A group as users may find it."""

    id: int
    group_name: str
    group_type: int


@router.get("/usergroups", response_model_exclude_none=True)
async def list_groups(
    caller: CallerParameter,
    services: ServicesParameter,
    listing: ListingParameter,
    ldap_group_dn: Annotated[str, Query(max_length=512)] = "",
    group_name: Annotated[str, Query(max_length=255)] = "",
) -> list[GroupAnswer]:
    """List the groups, those with the distinguished name or a part of the name."""
    caller.require_in_system("user-group:list")
    found, total = await UserGroups(services.database).list_page(
        listing.query, name_part=group_name, ldap_group_dn=ldap_group_dn
    )
    listing.set_total(total)
    return [_answer(group) for group in found]


@router.post("/usergroups", status_code=201)
async def create_group(
    body: GroupBody,
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
) -> None:
    """Make a group."""
    caller.require_in_system("user-group:create")
    groups = UserGroups(services.database)
    group_id = await groups.create(caller.actor, body.group_type, body.group_name, body.ldap_group_dn)
    set_location(request, response, group_id)


@router.get("/usergroups/search")
async def search_groups(
    groupname: Annotated[str, Query(max_length=255)],
    caller: CallerParameter,
    services: ServicesParameter,
    listing: ListingParameter,
) -> list[FoundGroup]:
    """Find groups by a part of their names."""
    caller.require_login()
    found, total = await UserGroups(services.database).list_page(listing.query, name_part=groupname)
    listing.set_total(total)
    return [FoundGroup(id=group.id, group_name=group.name, group_type=group.kind) for group in found]


@router.get("/usergroups/{group_id}", response_model_exclude_none=True)
async def get_group(group_id: GroupId, caller: CallerParameter, services: ServicesParameter) -> GroupAnswer:
    """Return a group."""
    caller.require_in_system("user-group:read")
    return _answer(await UserGroups(services.database).find(group_id))


@router.put("/usergroups/{group_id}")
async def rename_group(
    group_id: GroupId, body: GroupBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Give a group another name; nothing else of it can change."""
    caller.require_in_system("user-group:update")
    await UserGroups(services.database).rename(caller.actor, group_id, body.group_name)


@router.delete("/usergroups/{group_id}")
async def delete_group(group_id: GroupId, caller: CallerParameter, services: ServicesParameter) -> None:
    """Delete a group and all that it gave to its members."""
    caller.require_in_system("user-group:delete")
    await UserGroups(services.database).delete(caller.actor, group_id)


def _answer(group: StoredGroup) -> GroupAnswer:
    dn = group.ldap_group_dn if group.kind == GroupKind.LDAP else None
    return GroupAnswer(id=group.id, group_name=group.name, group_type=group.kind, ldap_group_dn=dn)
