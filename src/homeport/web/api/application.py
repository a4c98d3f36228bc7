"""Harbor's API v2.0 as one FastAPI application, made when the first request for it comes."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from homeport.errors import HomeportError
from homeport.web.api.body_limit import BodyLimit
from homeport.web.api.callers import CSRF_HEADER, request_id_of
from homeport.web.api.conventions import (
    ApiResponse,
    answer_error,
    answer_http_error,
    answer_invalid,
    refuse_by_network,
)
from homeport.web.api.read_only import require_writable
from homeport.web.api.services import Services

PREFIX = "/api/v2.0"

Next = Callable[[Request], Awaitable[Response]]


def build_api(services: Services) -> FastAPI:
    """Return the application; its routers stand below PREFIX."""
    from homeport.web.api.routers import root_routers, routers

    api = FastAPI(
        title="Homeport",
        version="2.0",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        default_response_class=ApiResponse,
    )
    api.state.services = services
    api.add_exception_handler(HomeportError, answer_error)
    api.add_exception_handler(RequestValidationError, answer_invalid)
    api.add_exception_handler(HTTPException, answer_http_error)

    api.add_middleware(BodyLimit)  # before the next one, which hides what a body's reader raises

    @api.middleware("http")
    async def add_headers(request: Request, call_next: Next) -> Response:
        request_id = request_id_of(request)
        refusal = await refuse_by_network(request)
        response = await call_next(request) if refusal is None else refusal
        response.headers["x-request-id"] = request_id
        csrf_token: str | None = getattr(request.state, "csrf_token", None)
        if csrf_token is not None:
            response.headers[CSRF_HEADER] = csrf_token
        return response

    writable = [Depends(require_writable)]
    for router in root_routers():
        api.include_router(router, dependencies=writable)
    for router in routers():
        api.include_router(router, prefix=PREFIX, dependencies=writable)
    return api
