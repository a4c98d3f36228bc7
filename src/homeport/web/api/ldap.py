"""`/ldap`: the directory that accounts come from, as Harbor's API serves it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from homeport.auth.secret import Secret
from homeport.control.ldap import MAX_IMPORTED, LdapAccounts, LdapTrial
from homeport.rules.usergroups import GroupKind
from homeport.web.api.conventions import CallerParameter, ServicesParameter
from homeport.web.api.services import Services

router = APIRouter(tags=["Ldap"])

_Text = Annotated[str, Field(max_length=8192)]
_Name = Annotated[str, Query(max_length=512)]


class LdapConf(BaseModel):
    """Settings to try; what is absent is as configured."""

    ldap_url: _Text | None = None
    ldap_search_dn: _Text | None = None
    ldap_search_password: _Text | None = None
    ldap_base_dn: _Text | None = None
    ldap_filter: _Text | None = None
    ldap_uid: _Text | None = None
    ldap_scope: int | None = None
    ldap_connection_timeout: int | None = None
    ldap_verify_cert: bool | None = None


class LdapPingResult(BaseModel):
    """Whether the directory answered, and else why not."""

    success: bool
    message: str = ""


class LdapUserAnswer(BaseModel):
    """A user of the directory."""

    username: str
    realname: str
    email: str


class LdapGroupAnswer(BaseModel):
    """A group of the directory."""

    group_name: str
    group_type: int = int(GroupKind.LDAP)
    ldap_group_dn: str


class LdapImport(BaseModel):
    """The users to make accounts for."""

    ldap_uid_list: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=MAX_IMPORTED)]


class FailedImport(BaseModel):
    """A user without an account, and why."""

    uid: str
    error: str


def _ldap(services: Services) -> LdapAccounts:
    return LdapAccounts(services.database, services.configuration, services.directory)


@router.post("/ldap/ping")
async def ping_ldap(
    caller: CallerParameter, services: ServicesParameter, body: LdapConf | None = None
) -> LdapPingResult:
    """Try to sign in to a directory as the search account."""
    caller.require_in_system("configuration:update")
    given = body or LdapConf()
    trial = LdapTrial(
        given.ldap_url,
        given.ldap_search_dn,
        None if given.ldap_search_password is None else Secret(given.ldap_search_password),
        given.ldap_base_dn,
        given.ldap_filter,
        given.ldap_uid,
        given.ldap_scope,
        given.ldap_connection_timeout,
        given.ldap_verify_cert,
    )
    problem = await _ldap(services).ping(trial)
    return LdapPingResult(success=not problem, message=problem)


@router.get("/ldap/users/search")
async def search_users(
    caller: CallerParameter, services: ServicesParameter, username: _Name = ""
) -> list[LdapUserAnswer]:
    """Find users of the directory by name."""
    caller.require_in_system("ldap-user:list")
    found = await _ldap(services).find_users(username)
    return [
        LdapUserAnswer(username=user.username, realname=user.realname, email=user.email) for user in found
    ]


@router.post("/ldap/users/import")
async def import_users(
    body: LdapImport, response: Response, caller: CallerParameter, services: ServicesParameter
) -> list[FailedImport] | None:
    """Make accounts for users of the directory."""
    caller.require_in_system("ldap-user:create")
    failures = await _ldap(services).import_users(caller.actor, body.ldap_uid_list)
    if not failures:
        return None
    response.status_code = 404
    return [FailedImport(uid=failure.uid, error=failure.error) for failure in failures]


@router.get("/ldap/groups/search")
async def search_groups(
    caller: CallerParameter, services: ServicesParameter, groupname: _Name = "", groupdn: _Name = ""
) -> list[LdapGroupAnswer]:
    """Find groups of the directory by a part of the name, or by the distinguished name."""
    caller.require_in_system("ldap-user:list")
    found = await _ldap(services).find_groups(name=groupname, dn=groupdn)
    return [LdapGroupAnswer(group_name=group.name, ldap_group_dn=group.dn) for group in found]
