"""`/api/v2.0/health`, `/api/v2.0/ping` and `/metrics`."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from homeport.errors import HomeportError
from homeport.telemetry import render_metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Check = Callable[[], Awaitable[object]]


def routes(checks: Mapping[str, Check]) -> list[Route]:
    """Return the routes; a check raises HomeportError or OSError when its component does not work."""

    async def health(_request: Request) -> Response:
        components = [await _examine("core", None)]
        components += [await _examine(name, check) for name, check in checks.items()]
        is_healthy = all(component["status"] == "healthy" for component in components)
        return JSONResponse({"status": "healthy" if is_healthy else "unhealthy", "components": components})

    return [
        Route("/api/v2.0/health", health, methods=["GET"]),
        Route("/api/v2.0/ping", _ping, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
    ]


async def _examine(name: str, check: Check | None) -> dict[str, str]:
    try:
        if check is not None:
            await check()
    except (HomeportError, OSError) as error:
        log.error("component_unhealthy", component=name, error=str(error))  # noqa: TRY400 - a state, no crash
        return {"name": name, "status": "unhealthy", "error": str(error)}
    return {"name": name, "status": "healthy"}


async def _ping(_request: Request) -> Response:
    return PlainTextResponse("Pong")


async def _metrics(_request: Request) -> Response:
    content, content_type = render_metrics()
    return Response(content, headers={"content-type": content_type})
