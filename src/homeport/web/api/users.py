"""`/users`: accounts, as Harbor's API serves them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.auth.secret import Secret
from homeport.control.users import NewUser, ProfileChange, Users
from homeport.db.users import UserDetails, UserProfile
from homeport.web.api.conventions import (
    CallerParameter,
    ListingParameter,
    ServicesParameter,
    set_location,
)
from homeport.web.api.services import Services

router = APIRouter(tags=["user"])

MAX_ID = 2**63 - 1

UserId = Annotated[int, Path(ge=-MAX_ID, le=MAX_ID)]
_Text = Annotated[str, Field(max_length=1024)]


class OidcUserMeta(BaseModel):
    """How the OpenID provider knows a user, and the secret for the user's programs."""

    id: int
    user_id: int
    subiss: str
    secret: str | None = None
    creation_time: datetime
    update_time: datetime


class UserAnswer(BaseModel):
    """A user."""

    user_id: int
    username: str
    email: str
    realname: str
    comment: str
    sysadmin_flag: bool
    admin_role_in_auth: bool = False
    # beyond Harbor, and there only when it is true
    auditor_flag: bool | None = None
    oidc_user_meta: OidcUserMeta | None = None
    creation_time: datetime
    update_time: datetime


class FoundUser(BaseModel):
    """A user as others may find it."""

    user_id: int
    username: str


class PermissionAnswer(BaseModel):
    """Something that the caller may do."""

    resource: str
    action: str


class UserCreation(BaseModel):
    """A user to be made; it has no rights, whatever else the body says."""

    username: _Text = ""
    password: _Text = ""
    email: _Text = ""
    realname: _Text = ""
    comment: _Text = ""


class ProfileBody(BaseModel):
    """What a user tells of itself; what is absent stays."""

    email: _Text | None = None
    realname: _Text | None = None
    comment: _Text | None = None


class SysadminBody(BaseModel):
    """Whether the user is to be a system administrator."""

    sysadmin_flag: bool


class AuditorBody(BaseModel):
    """Whether the user is to read everything in the system."""

    auditor_flag: bool


class PasswordBody(BaseModel):
    """A new password, and the old one for one's own account."""

    old_password: _Text = ""
    new_password: _Text = ""


class CliSecretBody(BaseModel):
    """A new secret for programs."""

    secret: _Text = ""


def _users(services: Services) -> Users:
    return Users(
        services.database, services.passwords, services.sealer, services.configuration, services.login
    )


@router.get("/users", response_model_exclude_none=True)
async def list_users(
    caller: CallerParameter, services: ServicesParameter, listing: ListingParameter
) -> list[UserAnswer]:
    """List the users."""
    caller.require_in_system("user:list")
    found, total = await _users(services).list_page(listing.query)
    listing.set_total(total)
    return [_answer(user) for user in found]


@router.post("/users", status_code=201)
async def create_user(
    body: UserCreation,
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
) -> None:
    """Make a user; administrators do, and anybody while self-registration is on."""
    profile = UserProfile(body.email, body.realname, body.comment)
    new = NewUser(body.username, Secret(body.password), profile)
    user_id = await _users(services).create(caller.principal, caller.actor, new)
    set_location(request, response, user_id)


@router.get("/users/search")
async def search_users(
    username: Annotated[str, Query(max_length=255)],
    caller: CallerParameter,
    services: ServicesParameter,
    listing: ListingParameter,
) -> list[FoundUser]:
    """Find users by a part of their names."""
    caller.require_login()
    found, total = await _users(services).search(username, listing.query)
    listing.set_total(total)
    return [FoundUser(user_id=user_id, username=name) for user_id, name in found]


@router.get("/users/current", response_model_exclude_none=True)
async def get_current_user(caller: CallerParameter, services: ServicesParameter) -> UserAnswer:
    """Return the caller's own account."""
    caller.require_login()
    found, secret = await _users(services).find_current(caller.principal)
    return _answer(found, secret)


@router.get("/users/current/permissions")
async def list_permissions(
    caller: CallerParameter,
    services: ServicesParameter,
    scope: Annotated[str, Query(max_length=255)] = "",
    *,
    relative: bool = False,
) -> list[PermissionAnswer]:
    """List what the caller may do in the system (`/system`) or in a project (`/project/ID`)."""
    caller.require_login()
    pairs = await _users(services).permissions(caller.principal, scope, is_relative=relative)
    return [PermissionAnswer(resource=resource, action=action) for resource, action in pairs]


@router.get("/users/{user_id}", response_model_exclude_none=True)
async def get_user(user_id: UserId, caller: CallerParameter, services: ServicesParameter) -> UserAnswer:
    """Return a user; everybody may read their own account."""
    caller.require_login()
    return _answer(await _users(services).find(caller.principal, user_id))


@router.put("/users/{user_id}")
async def update_profile(
    user_id: UserId, body: ProfileBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Change what a user tells of itself."""
    caller.require_login()
    change = ProfileChange(body.email, body.realname, body.comment)
    await _users(services).change_profile(caller.principal, caller.actor, user_id, change)


@router.delete("/users/{user_id}")
async def delete_user(user_id: UserId, caller: CallerParameter, services: ServicesParameter) -> None:
    """Delete a user."""
    caller.require_login()
    await _users(services).delete(caller.principal, caller.actor, user_id)


@router.put("/users/{user_id}/sysadmin")
async def set_sysadmin(
    user_id: UserId, body: SysadminBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Make a user a system administrator, or an ordinary user."""
    caller.require_login()
    users = _users(services)
    await users.set_sysadmin(caller.principal, caller.actor, user_id, is_sysadmin=body.sysadmin_flag)


@router.put("/users/{user_id}/auditor")
async def set_auditor(
    user_id: UserId, body: AuditorBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Let a user read everything in the system, beyond Harbor, or no more than its other rights allow."""
    caller.require_login()
    users = _users(services)
    await users.set_auditor(caller.principal, caller.actor, user_id, is_auditor=body.auditor_flag)


@router.put("/users/{user_id}/password")
async def change_password(
    user_id: UserId, body: PasswordBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Give a user a new password."""
    caller.require_login()
    passwords = Secret(body.old_password), Secret(body.new_password)
    await _users(services).change_password(caller.principal, caller.actor, user_id, passwords)


@router.put("/users/{user_id}/cli_secret")
async def set_cli_secret(
    user_id: UserId, body: CliSecretBody, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Set the secret that the programs of a user of an OpenID provider sign in with."""
    caller.require_login()
    await _users(services).set_cli_secret(caller.principal, caller.actor, user_id, Secret(body.secret))


def _answer(user: UserDetails, secret: Secret | None = None) -> UserAnswer:
    meta = None
    if user.source == "oidc":
        meta = OidcUserMeta(
            id=user.id,
            user_id=user.id,
            subiss=user.external_id or "",
            secret=None if secret is None else secret.reveal(),
            creation_time=user.created_at,
            update_time=user.updated_at,
        )
    return UserAnswer(
        user_id=user.id,
        username=user.username,
        email=user.email,
        realname=user.realname,
        comment=user.comment,
        sysadmin_flag=user.is_sysadmin,
        admin_role_in_auth=user.is_admin_in_source,
        auditor_flag=user.is_auditor or None,
        oidc_user_meta=meta,
        creation_time=user.created_at,
        update_time=user.updated_at,
    )
