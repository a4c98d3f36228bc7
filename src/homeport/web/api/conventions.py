"""What every operation of Harbor's API shares: callers, lists and their pages, names, answers, errors."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import orjson
import structlog
from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from homeport.auth.errors import AuthenticationError, LoginSlowedDownError
from homeport.control.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotBuiltError,
    NotFoundError,
    PreconditionError,
    UnauthenticatedError,
)
from homeport.db.actor import Actor, Target
from homeport.db.engine import DatabaseUnavailableError
from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode
from homeport.oci.name import is_repository_name
from homeport.rules.listing import DEFAULT_PAGE_SIZE, ListQuery, QueryInvalidError, parse_list_query
from homeport.rules.network import NetworkOperation
from homeport.rules.permissions import Principal, ProjectFacts, may_in_project, may_in_system
from homeport.web.api.services import Services

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_SERVER_ERROR = 500

# the most specific class first
_ERRORS: tuple[tuple[type[HomeportError], int, str], ...] = (
    (BadRequestError, 400, "BAD_REQUEST"),
    (QueryInvalidError, 400, "BAD_REQUEST"),
    (LoginSlowedDownError, 429, "TOOMANYREQUESTS"),
    (AuthenticationError, 401, "UNAUTHORIZED"),
    (UnauthenticatedError, 401, "UNAUTHORIZED"),
    (ForbiddenError, 403, "FORBIDDEN"),
    (NotFoundError, 404, "NOT_FOUND"),
    (ConflictError, 409, "CONFLICT"),
    (PreconditionError, 412, "PRECONDITION"),
    (NotBuiltError, 501, "NOT_IMPLEMENTED"),
    (DatabaseUnavailableError, 503, "UNAVAILABLE"),
)
_OCI_STATUS = {
    OciErrorCode.DENIED: (403, "DENIED"),
    OciErrorCode.UNSUPPORTED: (412, "PRECONDITION"),
    OciErrorCode.BLOB_UNKNOWN: (404, "NOT_FOUND"),
    OciErrorCode.MANIFEST_UNKNOWN: (404, "NOT_FOUND"),
    OciErrorCode.NAME_UNKNOWN: (404, "NOT_FOUND"),
    OciErrorCode.UNKNOWN: (500, "UNKNOWN"),
    OciErrorCode.UNAVAILABLE: (503, "UNAVAILABLE"),
    OciErrorCode.TOOMANYREQUESTS: (429, "TOOMANYREQUESTS"),
}


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who calls an operation, and the facts for its audit records."""

    principal: Principal
    actor: Actor

    def require_login(self) -> None:
        """Raise UnauthenticatedError unless somebody is signed in."""
        if self.principal.is_anonymous:
            raise UnauthenticatedError("sign in first")

    def require_in_system(self, permission: str) -> None:
        """Raise UnauthenticatedError or ForbiddenError unless the caller has the system permission."""
        if not may_in_system(self.principal, permission):
            self.require_login()
            raise ForbiddenError(f"{self.principal.name} may not do this ({permission})")

    def require_in_project(
        self, project: ProjectFacts | None, permission: str, repository: str | None = None
    ) -> None:
        """Raise unless the caller has the permission in the project.

        A stranger gets UnauthenticatedError; an account gets ForbiddenError, for a private project just as
        for one that does not exist (None), so that names cannot be probed.
        """
        if not may_in_project(self.principal, project, permission, repository):
            self.require_login()
            raise ForbiddenError(f"{self.principal.name} may not do this ({permission})")


def get_services(request: Request) -> Services:
    """Return what the operations work with."""
    services: Services = request.app.state.services
    return services


async def get_caller(request: Request) -> ApiCaller:
    """Return who calls: by the Authorization header, else by the session cookie, else nobody."""
    services = get_services(request)
    principal, actor = await services.callers.identify(request)
    request.state.actor = actor
    return ApiCaller(principal, actor)


def get_list_query(
    q: Annotated[str, Query(max_length=4096)] = "",
    sort: Annotated[str, Query(max_length=512)] = "",
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query()] = DEFAULT_PAGE_SIZE,
) -> ListQuery:
    """Return the parsed list parameters."""
    return parse_list_query(q, sort, page, page_size)


ServicesParameter = Annotated[Services, Depends(get_services)]
CallerParameter = Annotated[ApiCaller, Depends(get_caller)]
ListParameter = Annotated[ListQuery, Depends(get_list_query)]


def is_resource_name(request: Request) -> bool:
    """Tell whether a number in the path is a name all the same (`X-Is-Resource-Name: true`)."""
    return request.headers.get("x-is-resource-name", "").lower() == "true"


def repository_part(text: str) -> str:
    """Return a repository's name inside its project; Harbor's clients encode its slashes twice."""
    return unquote(text)


def set_page_headers(request: Request, response: Response, query: ListQuery, total: int) -> None:
    """Set X-Total-Count and the Link to the pages before and after."""
    response.headers["x-total-count"] = str(total)
    links = []
    if query.page > 1:
        links.append(f'<{_page_url(request, query, query.page - 1)}>; rel="prev"')
    if query.offset + query.page_size < total:
        links.append(f'<{_page_url(request, query, query.page + 1)}>; rel="next"')
    if links:
        response.headers["link"] = " , ".join(links)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that was asked for, and where its total goes."""

    query: ListQuery
    request: Request
    response: Response

    def set_total(self, total: int) -> None:
        """Set X-Total-Count and Link, for a list with that many entries on all pages."""
        set_page_headers(self.request, self.response, self.query, total)


def get_listing(request: Request, response: Response, query: ListParameter) -> Listing:
    """Return the list that was asked for."""
    return Listing(query, request, response)


ListingParameter = Annotated[Listing, Depends(get_listing)]


def _page_url(request: Request, query: ListQuery, page: int) -> str:
    kept = [
        (key, value)
        for key, value in parse_qsl(request.url.query, keep_blank_values=True)
        if key not in {"page", "page_size"}
    ]
    return f"{quote(request.url.path)}?{urlencode([*kept, ('page', page), ('page_size', query.page_size)])}"


def set_location(request: Request, response: Response, tail: object) -> None:
    """Set the Location of what was made, below the path of the request."""
    response.headers["location"] = f"{quote(request.url.path.rstrip('/'))}/{quote(str(tail), safe='')}"


class ApiResponse(Response):
    """An answer in JSON, or without any body when there is nothing to say, as Harbor gives it."""

    media_type: str | None = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        if content is None:
            self.media_type = None
            return b""
        return orjson.dumps(content)


def error_body(code: str, message: str) -> dict[str, Any]:
    """Return Harbor's error body."""
    # a client's lone surrogate, quoted in a message, has no UTF-8
    sendable = message.encode("utf-8", "replace").decode()
    return {"errors": [{"code": code, "message": sendable}]}


async def answer_error(request: Request, error: Exception) -> Response:
    """Turn an error that was raised on purpose into Harbor's answer."""
    status, code = _classify(error)
    if status >= _SERVER_ERROR and not isinstance(error, NotBuiltError):
        request_id = getattr(request.state, "request_id", "")
        log.error("request_failed", request_id=request_id, error=str(error), kind=type(error).__name__)
    if isinstance(error, ForbiddenError):
        await _record_denial(request, error)
    hint = getattr(error, "hint", "")
    message = f"{error}; {hint}" if hint else str(error)
    if status == _SERVER_ERROR:
        message = "internal server error"
    headers = {}
    if isinstance(error, LoginSlowedDownError):
        headers["retry-after"] = str(error.retry_after_s)
    return JSONResponse(error_body(code, message), status, headers=headers)


async def _record_denial(request: Request, error: ForbiddenError) -> None:
    actor: Actor | None = getattr(request.state, "actor", None)
    if actor is None:
        return
    named = request.path_params.get("project_name") or request.path_params.get("project_name_or_id")
    project = named if isinstance(named, str) and is_repository_name(named) else None
    target = Target(reference=f"{request.method} {request.url.path}", project=project)
    record = actor.record("denial", target, outcome="denied", detail=str(error))
    await get_services(request).recorder.record(record)


def _classify(error: Exception) -> tuple[int, str]:
    for kind, status, code in _ERRORS:
        if isinstance(error, kind):
            return status, code
    if isinstance(error, OciError):
        return _OCI_STATUS.get(error.code, (400, error.code.name))
    return _SERVER_ERROR, "UNKNOWN"


async def refuse_by_network(request: Request) -> Response | None:
    """Return a refusal when the control plane may not be reached from where the request comes."""
    services = get_services(request)
    address = services.forwarding.client_address(request.scope, dict(request.scope["headers"]))
    if await services.network.admits(NetworkOperation.MANAGEMENT, address):
        return None
    actor = services.callers.actor(request, "", "", address)
    record = actor.record("denial", Target(), outcome="denied", detail="management: network")
    await services.recorder.record(record)
    return JSONResponse(error_body("FORBIDDEN", f"not reachable from {address}"), 403)


async def answer_invalid(_request: Request, error: Exception) -> Response:
    """Say which part of a request has the wrong shape (Harbor answers 422 to those)."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    message = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in problems
    )
    return JSONResponse(error_body("BAD_REQUEST", message[:2048] or "malformed request"), 422)


_HTTP_CODES = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_ENTITY_TOO_LARGE",
}


async def answer_http_error(_request: Request, error: Exception) -> Response:
    """Give Starlette's own errors Harbor's body."""
    status = error.status_code if isinstance(error, HTTPException) else _SERVER_ERROR
    code = _HTTP_CODES.get(status, "BAD_REQUEST")
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(error_body(code, code.replace("_", " ").lower()), status, headers=headers)
