"""Puts the surfaces together: /v2 on its own fast path, Harbor's API when it is first asked for."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# `/c/` is where Harbor's own pages sign in and out
_API_PATHS = ("/api/v2.0", "/c/")
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


class Site:
    """The whole server as one ASGI application, without a lifespan."""

    def __init__(self, registry: AsgiApp, routes: list[Route], make_api: Callable[[], AsgiApp]) -> None:
        self._registry = registry
        self._make_api = make_api
        self._api: AsgiApp | None = None
        self._fast_paths = {route.path for route in routes}
        self._rest = Starlette(
            routes=routes, exception_handlers={HTTPException: _answer_http_error, Exception: _answer_failure}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith("/v2/") or path == "/v2":
            await self._registry(scope, receive, send)
        elif path.startswith(_API_PATHS) and path not in self._fast_paths:
            if self._api is None:
                self._api = self._make_api()
            await self._api(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    code = _CODES.get(status, "BAD_REQUEST")
    body = {"errors": [{"code": code, "message": str(getattr(error, "detail", "")) or code.lower()}]}
    return JSONResponse(body, status, headers=headers)


async def _answer_failure(request: Request, error: Exception) -> Response:
    request_id = os.urandom(8).hex()
    log.error("request_failed", request_id=request_id, path=request.url.path[:512], exc_info=error)
    body = {"errors": [{"code": "UNKNOWN", "message": f"internal server error; request {request_id}"}]}
    return JSONResponse(body, 500, headers={"x-request-id": request_id})
