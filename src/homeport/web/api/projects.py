"""`/projects`: made, listed, shown, changed, deleted."""

import json
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.control.errors import BadRequestError, ForbiddenError, NotBuiltError, NotFoundError
from homeport.control.projects import ProjectChange, Projects, ProjectView
from homeport.db.projects import ProjectWish
from homeport.rules.members import ROLE_NAMES
from homeport.rules.permissions import PrincipalKind, may_in_project, may_in_system
from homeport.rules.projects import CveAllowlist, ProjectInvalidError, check_allowlist, project_scope
from homeport.rules.quota import QuotaState
from homeport.web.api.conventions import (
    ApiCaller,
    CallerParameter,
    ListParameter,
    ServicesParameter,
    set_location,
    set_page_headers,
)
from homeport.web.api.project_access import NO_NUL, NamedProjectParameter, may_see
from homeport.web.api.services import Services

router = APIRouter()

_MAX_INT64 = 2**63 - 1


class CveItem(BaseModel):
    """One vulnerability of an allowlist."""

    cve_id: str


class CveAllowlistBody(BaseModel):
    """The vulnerabilities that block no pull of a project."""

    id: int | None = None
    project_id: int | None = None
    expires_at: int | None = None
    items: list[CveItem] = Field(default_factory=list)
    creation_time: datetime | None = None
    update_time: datetime | None = None


class ProjectMetadataBody(BaseModel):
    """The metadata that requests may set, all of it texts."""

    public: str | None = None
    enable_content_trust: str | None = None
    enable_content_trust_cosign: str | None = None
    prevent_vul: str | None = None
    severity: str | None = None
    auto_scan: str | None = None
    auto_sbom_generation: str | None = None
    reuse_sys_cve_allowlist: str | None = None
    proxy_speed_kb: str | None = None
    max_upstream_conn: str | None = None
    proxy_cache_local_on_not_found: str | None = None
    proxy_referrer_api: str | None = None
    proxy_cache_filter_pattern: str | None = None
    proxy_cache_filter_kind: str | None = None


class ProjectRequest(BaseModel):
    """What a request wants of a project."""

    project_name: str | None = Field(None, max_length=255)
    public: bool | None = None
    metadata: ProjectMetadataBody | None = None
    cve_allowlist: CveAllowlistBody | None = None
    storage_limit: int | None = Field(None, ge=-(2**63), le=_MAX_INT64)
    registry_id: int | None = None


class ProjectAnswer(BaseModel):
    """A project."""

    project_id: int
    owner_id: int
    name: str
    registry_id: int | None = None
    creation_time: datetime
    update_time: datetime
    deleted: bool = False
    owner_name: str | None = None
    current_user_role_id: int | None = None
    current_user_role_ids: list[int] | None = None
    repo_count: int
    metadata: dict[str, str]
    cve_allowlist: CveAllowlistBody | None = None


class DeletableAnswer(BaseModel):
    """Whether a project can be deleted, and why not."""

    deletable: bool
    message: str | None = None


class QuotaSummary(BaseModel):
    """The limit and the use of a quota."""

    hard: dict[str, int]
    used: dict[str, int]


class SummaryAnswer(BaseModel):
    """What a project holds and who is in it."""

    repo_count: int
    project_admin_count: int | None = None
    maintainer_count: int | None = None
    developer_count: int | None = None
    guest_count: int | None = None
    limited_guest_count: int | None = None
    quota: QuotaSummary | None = None


def project_answer(view: ProjectView, *, has_detail: bool = True) -> ProjectAnswer:
    """Return the project as Harbor shows it."""
    project = view.project
    answer = ProjectAnswer(
        project_id=project.id,
        owner_id=project.owner_id or 0,
        name=project.name,
        registry_id=project.registry_id,
        creation_time=project.created_at,
        update_time=project.updated_at,
        repo_count=project.repository_count,
        metadata=dict(view.metadata),
    )
    if has_detail:
        answer.owner_name = project.owner_name or ""
        answer.current_user_role_ids = list(view.role_ids)
        answer.current_user_role_id = min(view.role_ids, key=_power, default=0)
        answer.cve_allowlist = _allowlist_answer(view)
    return answer


@router.get("/projects", response_model_exclude_none=True)
async def list_projects(
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
    query: ListParameter,
    *,
    name: Annotated[str | None, Query(max_length=255, pattern=NO_NUL)] = None,
    public: bool | None = None,
    owner: Annotated[str | None, Query(max_length=255, pattern=NO_NUL)] = None,
    with_detail: bool = True,
) -> list[ProjectAnswer]:
    """List the projects that the caller may see."""
    wish = ProjectWish(project_scope(caller.principal), name or None, public, owner or None)
    views, total = await Projects(services.database).list(caller.principal, wish, query)
    set_page_headers(request, response, query, total)
    return [project_answer(view, has_detail=with_detail) for view in views]


@router.head("/projects")
async def head_project(
    caller: CallerParameter,
    services: ServicesParameter,
    project_name: Annotated[str, Query(max_length=255, pattern=NO_NUL)],
) -> Response:
    """Tell whether there is a project of that name that the caller may see."""
    project = await Projects(services.database).find(project_name)
    if project is None or not may_see(caller.principal, project):
        raise NotFoundError("project not found")
    return Response(status_code=200)


@router.post("/projects", status_code=201)
async def create_project(
    body: ProjectRequest, request: Request, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Make a project."""
    caller.require_login()
    await _require_creation(caller, services)
    if body.registry_id is not None:
        raise NotBuiltError("proxy cache projects are not implemented yet", hint="leave registry_id out")
    if not body.project_name:
        raise BadRequestError("project_name is missing")
    projects = Projects(services.database)
    project_id = await projects.create(caller.actor, caller.principal, body.project_name, _wanted(body))
    answer = Response(status_code=201)
    in_name = request.headers.get("x-resource-name-in-location", "").lower() == "true"
    set_location(request, answer, body.project_name if in_name else project_id)
    return answer


_ONE = "/projects/{project_name_or_id}"


@router.get(_ONE, response_model_exclude_none=True)
async def get_project(named: NamedProjectParameter, services: ServicesParameter) -> ProjectAnswer:
    """Show a project."""
    project = named.require()
    return project_answer(await Projects(services.database).view(named.caller.principal, project))


@router.put(_ONE)
async def update_project(
    body: ProjectRequest, named: NamedProjectParameter, services: ServicesParameter
) -> Response:
    """Change a project."""
    project, caller = named.require(".:update"), named.caller
    if body.project_name and body.project_name != project.name:
        raise BadRequestError("a project keeps its name")
    if body.registry_id is not None and body.registry_id != project.registry_id:
        raise BadRequestError("a project keeps its registry")
    await Projects(services.database).update(caller.actor, caller.principal, project.id, _wanted(body))
    return Response(status_code=200)


@router.delete(_ONE)
async def delete_project(named: NamedProjectParameter, services: ServicesParameter) -> Response:
    """Delete a project that has no repositories."""
    project = named.require(".:delete")
    await Projects(services.database).delete(named.caller.actor, project.id)
    return Response(status_code=200)


@router.get(f"{_ONE}/_deletable", response_model_exclude_none=True)
async def get_deletable(named: NamedProjectParameter, services: ServicesParameter) -> DeletableAnswer:
    """Tell whether a project can be deleted."""
    project = named.require(".:delete")
    if await Projects(services.database).is_deletable(project.id):
        return DeletableAnswer(deletable=True)
    return DeletableAnswer(deletable=False, message="the project contains repositories, can not be deleted")


@router.get(f"{_ONE}/summary", response_model_exclude_none=True)
async def get_summary(named: NamedProjectParameter, services: ServicesParameter) -> SummaryAnswer:
    """Show what a project holds, its quota and its members by role, as far as the caller may see them."""
    project = named.require()
    principal = named.caller.principal
    summary = await Projects(services.database).summary(project)
    answer = SummaryAnswer(repo_count=summary.repository_count)
    if may_in_project(principal, project.facts, "member:list"):
        for role_id, field_name in _COUNT_FIELDS.items():
            setattr(answer, field_name, summary.member_counts.get(role_id, 0))
    if summary.quota is not None and may_in_project(principal, project.facts, "quota:read"):
        answer.quota = quota_summary(summary.quota)
    return answer


_COUNT_FIELDS = {
    1: "project_admin_count",
    4: "maintainer_count",
    2: "developer_count",
    3: "guest_count",
    5: "limited_guest_count",
}
_BY_POWER = (1, 4, 2, 3, 5)


def quota_summary(state: QuotaState) -> QuotaSummary:
    """Return the limit and the use as Harbor shows them."""
    return QuotaSummary(hard={"storage": state.hard_bytes}, used={"storage": state.used_bytes})


def _power(role_id: int) -> int:
    return _BY_POWER.index(role_id) if role_id in ROLE_NAMES else len(_BY_POWER)


async def _require_creation(caller: ApiCaller, services: Services) -> None:
    """Raise ForbiddenError unless the caller may make projects: everybody's users, if the settings say so."""
    if may_in_system(caller.principal, "project:create"):
        return
    configuration = await services.configuration.read()
    is_open = configuration.project_creation_restriction == "everyone"
    if not is_open or caller.principal.kind is not PrincipalKind.USER:
        raise ForbiddenError(f"{caller.principal.name} may not make projects")


def _wanted(body: ProjectRequest) -> ProjectChange:
    metadata = {} if body.metadata is None else body.metadata.model_dump(exclude_none=True)
    if body.public is not None:
        metadata.setdefault("public", "true" if body.public else "false")
    return ProjectChange(metadata, _allowlist(body.cve_allowlist), body.storage_limit)


def _allowlist(body: CveAllowlistBody | None) -> CveAllowlist | None:
    if body is None:
        return None
    try:
        return check_allowlist([item.cve_id for item in body.items], body.expires_at)
    except ProjectInvalidError as error:
        raise BadRequestError(str(error), hint=error.hint) from error


def _allowlist_answer(view: ProjectView) -> CveAllowlistBody:
    project = view.project
    stored = json.loads(project.cve_allowlist or '{"items": []}')
    return CveAllowlistBody(
        id=project.id,
        project_id=project.id,
        expires_at=stored.get("expires_at"),
        items=[CveItem(cve_id=cve_id) for cve_id in stored["items"]],
        creation_time=project.created_at,
        update_time=project.updated_at,
    )
