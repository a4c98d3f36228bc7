"""The ASGI application of /v2: route, answer, and turn errors into answers."""

import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable

import structlog

from homeport.db.engine import Database
from homeport.errors import HomeportError
from homeport.oci.errors import OciErrorCode
from homeport.oci.name import NameInvalidError, is_repository_name
from homeport.telemetry import Metrics
from homeport.web.v2.access import Access, ChallengeError
from homeport.web.v2.blobs import Blobs
from homeport.web.v2.errors import ErrorAnswer, describe
from homeport.web.v2.lists import Lists
from homeport.web.v2.manifests import Manifests, TooManyTagsError
from homeport.web.v2.request import Header, Receive, Request, Scope, Send
from homeport.web.v2.routing import Resource, Route, match_path
from homeport.web.v2.uploads import UploadHandlers

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Handler = Callable[[Request, Route], Awaitable[None]]

_MAX_PATH = 4096
_REQUEST_ID = re.compile("[0-9A-Za-z-]{1,64}")
_JSON: Header = (b"content-type", b"application/json")


class RegistryApp:
    """Serves the distribution API."""

    def __init__(
        self,
        database: Database,
        access: Access,
        handlers: tuple[Manifests, Blobs, UploadHandlers, Lists],
        metrics: Metrics,
        *,
        body_timeout_s: float,
    ) -> None:
        manifests, blobs, uploads, lists = handlers
        self._database = database
        self._access = access
        self._metrics = metrics
        self._body_timeout_s = body_timeout_s
        prefix = os.urandom(6).hex()
        self._request_ids = (f"{prefix}-{number:x}" for number in itertools.count(1))
        self._handlers: dict[Resource, dict[str, Handler]] = {
            Resource.PING: {"GET": lists.ping, "HEAD": lists.ping},
            Resource.CATALOG: {"GET": lists.catalog, "HEAD": lists.catalog},
            Resource.EXTENSIONS: {"GET": lists.extensions, "HEAD": lists.extensions},
            Resource.TAGS: {"GET": lists.tags, "HEAD": lists.tags},
            Resource.REFERRERS: {"GET": lists.referrers, "HEAD": lists.referrers},
            Resource.MANIFEST: {
                "GET": manifests.get,
                "HEAD": manifests.get,
                "PUT": manifests.put,
                "DELETE": manifests.delete,
            },
            Resource.BLOB: {"GET": blobs.get, "HEAD": blobs.get, "DELETE": blobs.delete},
            Resource.UPLOADS: {"POST": uploads.post},
            Resource.UPLOAD: {
                "GET": uploads.get,
                "HEAD": uploads.get,
                "PATCH": uploads.patch,
                "PUT": uploads.put,
                "DELETE": uploads.delete,
            },
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes an answer of the specification's form."""
        started = time.perf_counter()
        request = Request(scope, receive, send, next(self._request_ids), self._body_timeout_s)
        route = match_path(scope["path"]) if len(scope["path"]) <= _MAX_PATH else None
        given_id = request.header(b"x-request-id")
        if given_id and _REQUEST_ID.fullmatch(given_id):
            request.request_id = given_id
        try:
            request.version = self._database.version()
            request.access_version = await self._database.access_version()
            await self._dispatch(request, route)
        except HomeportError as error:
            await self._answer_error(request, error)
        except Exception:
            log.exception("request_failed", request_id=request.request_id, path=scope["path"][:512])
            await self._send_error(
                request, ErrorAnswer(500, OciErrorCode.UNKNOWN, f"request {request.request_id} failed")
            )
        label = route.resource.value if route is not None else "unknown"
        method = request.method if route and request.method in self._handlers[route.resource] else "other"
        self._metrics.count_request(label, method, request.status, time.perf_counter() - started)

    async def _dispatch(self, request: Request, route: Route | None) -> None:
        if route is None:
            answer = ErrorAnswer(404, OciErrorCode.NAME_UNKNOWN, "nothing is served under this path")
            await self._send_error(request, answer)
            return
        handler = self._handlers[route.resource].get(request.method)
        if handler is None:
            allowed = ", ".join(self._handlers[route.resource]).encode()
            message = "this method is not supported here"
            answer = ErrorAnswer(405, OciErrorCode.UNSUPPORTED, message, headers=((b"allow", allowed),))
            await self._send_error(request, answer)
            return
        if route.name and not is_repository_name(route.name):
            raise NameInvalidError(route.name)
        await handler(request, route)

    async def _answer_error(self, request: Request, error: HomeportError) -> None:
        answer = describe(error)
        if answer.status >= 500:  # noqa: PLR2004 - the class of server errors
            log.error(
                "request_failed", request_id=request.request_id, error=str(error), kind=type(error).__name__
            )
        if isinstance(error, TooManyTagsError):
            answer = ErrorAnswer(414, answer.code, answer.message)
        if isinstance(error, ChallengeError):
            headers = ((b"www-authenticate", self._access.challenge(request, error)),)
            answer = ErrorAnswer(401, answer.code, answer.message, answer.details, headers)
        await self._send_error(request, answer)

    async def _send_error(self, request: Request, answer: ErrorAnswer) -> None:
        if request.is_answered:
            request.status = answer.status
            return
        await request.drain_body()
        await request.respond(
            answer.status, [*request.standard_headers(), *answer.headers, _JSON], answer.body()
        )
