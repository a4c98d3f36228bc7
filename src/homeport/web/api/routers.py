"""The routers of Harbor's API, and a clear answer for each operation that is not built yet."""

import re
from importlib import import_module

from fastapi import APIRouter
from fastapi.routing import APIRoute

from homeport.control.errors import NotBuiltError
from homeport.web.api.conventions import CallerParameter
from homeport.web.api.operations import OPERATIONS, Operation

# modules of homeport.web.api with a `router`; more specific paths come first
_MODULES: tuple[str, ...] = (
    "projects",
    "metadata",
    "members",
    "roles",
    "quotas",
    "labels",
    "search",
    "statistics",
    "repositories",
    "artifacts",
    "icons",
    "certificates",
    "network",
    "users",
    "usergroups",
    "ldap",
    "oidc",
    "configurations",
    "systeminfo",
    "robots",
    "project_robots",
    "permissions",
    "audit",
)

# modules whose paths are complete, beside the API
_ROOT_MODULES: tuple[str, ...] = ("session", "oidc_session")

_PARAMETER = re.compile(r"\{[^}]*\}")


def routers() -> list[APIRouter]:
    """Return every router, the last one for what is not built."""
    built = built_routers()
    return [*built, _unbuilt_router(unbuilt_operations(built))]


def built_routers() -> list[APIRouter]:
    """Return the routers of what is built."""
    return [import_module(f"homeport.web.api.{name}").router for name in _MODULES]


def root_routers() -> list[APIRouter]:
    """Return the routers whose paths are complete."""
    return [import_module(f"homeport.web.api.{name}").router for name in _ROOT_MODULES]


def unbuilt_operations(built: list[APIRouter]) -> list[Operation]:
    """Return the operations that no router serves."""
    served = {
        (method, _shape(route.path))
        for router in built
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    others = {("GET", "/health"), ("GET", "/ping")}  # served on the fast path
    return [
        operation
        for operation in OPERATIONS
        if (operation.method, _shape(operation.path)) not in served | others
    ]


def _shape(path: str) -> str:
    return _PARAMETER.sub("{}", path)


def _unbuilt_router(operations: list[Operation]) -> APIRouter:
    router = APIRouter()
    for operation in operations:
        router.add_api_route(
            operation.path, _refuse, methods=[operation.method], include_in_schema=False, status_code=501
        )
    return router


async def _refuse(caller: CallerParameter) -> None:
    caller.require_login()
    raise NotBuiltError("this operation is not implemented yet", hint="see docs/harbor-api.md")
