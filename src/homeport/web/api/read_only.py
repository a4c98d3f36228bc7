"""In read-only mode nothing changes but the mode itself."""

import re

from fastapi import Request

from homeport.control.errors import ForbiddenError
from homeport.web.api.conventions import ServicesParameter

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# turning it off, signing in and out, what only tests a connection, and collecting garbage
_EXEMPT = re.compile(r"/c/.*|/api/v2\.0/(?:configurations|system/gc/.*|.*/ping)")


async def require_writable(request: Request, services: ServicesParameter) -> None:
    """Raise ForbiddenError when the request would change something in read-only mode."""
    if request.method in _SAFE_METHODS or _EXEMPT.fullmatch(request.url.path):
        return
    if (await services.configuration.read()).read_only:
        raise ForbiddenError(
            "the system is in read-only mode; any modification is prohibited",
            hint="an administrator can turn it off in the configuration",
        )
