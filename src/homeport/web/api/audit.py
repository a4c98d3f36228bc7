"""The audit records in the words of Harbor's API: `/audit-logs`, `/auditlog-exts`, logs of projects."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from homeport.control.audit import FORMATS, AuditLog, within_projects
from homeport.control.audit_formats import as_document
from homeport.control.errors import BadRequestError, NotFoundError
from homeport.db.actor import Target
from homeport.db.audit import AuditFilter, AuditRecord
from homeport.db.audit_search import Row, find_started_project
from homeport.rules.audit_events import EVENT_TYPES, event_of
from homeport.rules.listing import ListQuery, parse_list_query
from homeport.rules.permissions import may_in_system
from homeport.web.api.conventions import (
    ApiCaller,
    CallerParameter,
    ListParameter,
    ServicesParameter,
    set_page_headers,
)
from homeport.web.api.services import Services

router = APIRouter(tags=["auditlog"])

_SYSTEM = "audit-log:list"
_PROJECT = "log:list"
_MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}

QParameter = Annotated[str, Query(max_length=4096)]
FormatParameter = Annotated[str, Query(alias="format", max_length=16)]


class AuditLogEntry(BaseModel):
    """A record as the older generation of Harbor's API shows it."""

    id: int
    username: str
    resource: str
    resource_type: str
    operation: str
    op_time: datetime


class AuditLogExtEntry(AuditLogEntry):
    """A record as Harbor's API shows it, and what Homeport knows beyond that."""

    operation_description: str
    operation_result: bool
    outcome: str
    auth_method: str
    client_address: str
    user_agent: str
    request_id: str
    digest: str | None = None
    detail: str | None = None
    before: Any = None
    after: Any = None


class EventType(BaseModel):
    """The name of an event."""

    event_type: str


@router.get("/audit-logs")
async def list_audit_logs(
    request: Request,
    response: Response,
    query: ListParameter,
    caller: CallerParameter,
    services: ServicesParameter,
) -> list[AuditLogEntry]:
    """Return the records of the system, or of the projects whose logs the caller may list."""
    wanted = await _within_sight(caller, services, query)
    return [_entry(row) for row in await _page(request, response, services, (wanted, query))]


@router.get("/auditlog-exts", response_model_exclude_none=True)
async def list_audit_log_exts(
    request: Request,
    response: Response,
    query: ListParameter,
    caller: CallerParameter,
    services: ServicesParameter,
) -> list[AuditLogExtEntry]:
    """Return the records of the system, or of the projects whose logs the caller may list."""
    wanted = await _within_sight(caller, services, query)
    return [_ext_entry(row) for row in await _page(request, response, services, (wanted, query))]


@router.get("/auditlog-exts/events")
async def list_event_types(caller: CallerParameter) -> list[EventType]:
    """Return the names of the events that Harbor has too."""
    caller.require_login()
    return [EventType(event_type=name) for name in EVENT_TYPES]


@router.get("/auditlog-exts/export")
async def export_audit_log(
    caller: CallerParameter,
    services: ServicesParameter,
    q: QParameter = "",
    format_name: FormatParameter = "jsonl",
) -> StreamingResponse:
    """Return all records that the query wants, the oldest first, as JSON Lines or CSV."""
    caller.require_in_system(_SYSTEM)
    wanted = await AuditLog(services.database).parse(parse_list_query(q, "", 1, 1))
    return await _export(caller, services, wanted, (format_name, q, None))


@router.get("/projects/{project_name}/logs")
async def list_project_logs(
    project_name: str,
    request: Request,
    response: Response,
    query: ListParameter,
    caller: CallerParameter,
    services: ServicesParameter,
) -> list[AuditLogEntry]:
    """Return the records of the project."""
    wanted = await _within_project(caller, services, project_name, query)
    return [_entry(row) for row in await _page(request, response, services, (wanted, query))]


@router.get("/projects/{project_name}/auditlog-exts", response_model_exclude_none=True)
async def list_project_log_exts(
    project_name: str,
    request: Request,
    response: Response,
    query: ListParameter,
    caller: CallerParameter,
    services: ServicesParameter,
) -> list[AuditLogExtEntry]:
    """Return the records of the project."""
    wanted = await _within_project(caller, services, project_name, query)
    return [_ext_entry(row) for row in await _page(request, response, services, (wanted, query))]


@router.get("/projects/{project_name}/auditlog-exts/export")
async def export_project_log(
    project_name: str,
    caller: CallerParameter,
    services: ServicesParameter,
    q: QParameter = "",
    format_name: FormatParameter = "jsonl",
) -> StreamingResponse:
    """Return all records of the project that the query wants, the oldest first."""
    query = parse_list_query(q, "", 1, 1)
    wanted = await _within_project(caller, services, project_name, query)
    return await _export(caller, services, wanted, (format_name, q, project_name))


async def _within_sight(caller: ApiCaller, services: Services, query: ListQuery) -> AuditFilter:
    caller.require_login()
    log = AuditLog(services.database)
    wanted = await log.parse(query)
    if may_in_system(caller.principal, _SYSTEM):
        return wanted
    return within_projects(wanted, await log.visible_projects(caller.principal))


async def _within_project(
    caller: ApiCaller, services: Services, project_name: str, query: ListQuery
) -> AuditFilter:
    found = await services.database.read(find_started_project, project_name)
    caller.require_in_project(None if found is None else found[0], _PROJECT)
    if found is None:
        raise NotFoundError(f"project {project_name[:255]} not found")
    facts, created_at = found
    wanted = await AuditLog(services.database).parse(query)
    return within_projects(wanted, {facts.name: created_at})


async def _page(
    request: Request, response: Response, services: Services, asked: tuple[AuditFilter, ListQuery]
) -> list[Row]:
    wanted, query = asked
    page = await AuditLog(services.database).page(wanted, query)
    set_page_headers(request, response, query, page.total)
    return page.rows


async def _export(
    caller: ApiCaller, services: Services, wanted: AuditFilter, asked: tuple[str, str, str | None]
) -> StreamingResponse:
    format_name, q, project = asked
    if format_name not in FORMATS:
        raise BadRequestError(f"there is no format {format_name!r}", hint=f"use {' or '.join(FORMATS)}")
    record = caller.actor.record("export_audit", Target(project=project), detail=f"{format_name} {q}"[:4096])
    await services.recorder.record(record)
    headers = {
        "content-disposition": f'attachment; filename="audit.{format_name}"',
        "x-content-type-options": "nosniff",
    }
    parts = AuditLog(services.database).export(wanted, format_name)
    return StreamingResponse(parts, media_type=_MEDIA_TYPES[format_name], headers=headers)


def _entry(row: Row) -> AuditLogEntry:
    record_id, record = row
    event = event_of(record.operation)
    return AuditLogEntry(
        id=record_id,
        username=record.principal,
        resource=_resource(record),
        resource_type=event.resource_type,
        operation=event.operation,
        op_time=record.recorded_at,
    )


def _ext_entry(row: Row) -> AuditLogExtEntry:
    record_id, record = row
    event, resource = event_of(record.operation), _resource(record)
    document = as_document(record_id, record)
    return AuditLogExtEntry(
        id=record_id,
        username=record.principal,
        resource=resource,
        resource_type=event.resource_type,
        operation=event.operation,
        op_time=record.recorded_at,
        operation_description=f"{event.operation} {event.resource_type}: {resource}",
        operation_result=record.outcome == "success",
        outcome=record.outcome,
        auth_method=record.auth_method,
        client_address=record.client_address,
        user_agent=record.user_agent,
        request_id=record.request_id,
        digest=record.digest,
        detail=record.detail,
        before=document.get("before"),
        after=document.get("after"),
    )


def _resource(record: AuditRecord) -> str:
    """Return what the record is about, as Harbor writes it."""
    if record.repository is None:
        return record.reference or record.project or record.principal
    if record.reference and record.reference != record.digest:
        return f"{record.repository}:{record.reference}"
    return f"{record.repository}@{record.digest}" if record.digest else record.repository
