"""One registry: how it is reached, authenticated requests, retries, and its errors in plain words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import aiohttp
import orjson
from yarl import URL

from homeport.oci.challenge import parse_challenges
from homeport.oci.reference import DEFAULT_REGISTRY
from homeport.remote.authorization import Access, Authorizer, FindCredentials
from homeport.remote.errors import (
    NotFoundError,
    ProtocolError,
    RefusedError,
    RemoteError,
    TlsError,
    TransientError,
    UnreachableError,
)
from homeport.remote.reach import Reach, is_loopback, reach_of
from homeport.remote.retry import TRANSIENT_STATUSES, RetryPolicy, retrying
from homeport.remote.tls import TlsContexts, TlsOptions
from homeport.remote.transport import Answer, Request, Timeouts, Transport, transient_answer

DOCKER_HUB_HOST = "registry-1.docker.io"
PROBE_TIMEOUT_S = 10.0
MAX_UNREACHED = 3

_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How to talk to registries."""

    tls: TlsContexts = field(default_factory=lambda: TlsContexts(TlsOptions()))
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Registry:
    """A registry by its name (`host[:port]`); connects at the first request, closed with `async with`."""

    def __init__(self, name: str, find_credentials: FindCredentials, options: RegistryOptions) -> None:
        self.name = name
        self.options = options
        self.host = DOCKER_HUB_HOST if name == DEFAULT_REGISTRY else name
        self.transport = Transport(name, options.tls, options.timeouts)
        self._authorizer = Authorizer(self.transport, find_credentials, options.retry)
        self._base: URL | None = None
        self._connecting = asyncio.Lock()
        self._unreached = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.__aexit__()

    async def url(self, path: str) -> URL:
        """Return the URL of a path of the registry (already encoded); connects when needed."""
        async with self._connecting:
            if self._base is None:
                await self._connect()
        return URL(f"{self._base}{path}", encoded=True)

    async def call(self, request: Request, access: Access) -> Answer:
        """Send the request with authorization; repeats it on 429, 5xx and broken connections.

        The caller judges every other status. Raises TransientError when repeating did not help.
        """
        return await retrying(self.options.retry, lambda: self.call_once(request, access))

    async def call_once(self, request: Request, access: Access) -> Answer:
        """As `call`, but a transient failure is raised at once."""
        answer, header = await self._authorized_call(request, access)
        if answer.status == _UNAUTHORIZED and self.transport.is_home(request.url):
            wider = self._relearn(answer.url, answer.headers.getall("WWW-Authenticate", []), access, header)
            if wider is not None:
                answer, _ = await self._authorized_call(request, wider)
        if answer.status in TRANSIENT_STATUSES:
            raise transient_answer(self.name, answer.status, answer.headers)
        return answer

    @asynccontextmanager
    async def open(self, request: Request, access: Access) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request once with authorization and give the response with its body unread.

        A request without a body is sent again with fresh authorization after a 401. Raises TransientError
        for 429 and 5xx, and for connections that break while the caller reads.
        """
        headers, header = await self._authorize(request, access)
        async with self.transport.open(replace(request, headers=headers)) as response:
            wider = None
            if response.status == _UNAUTHORIZED and self.transport.is_home(request.url):
                challenges = response.headers.getall("WWW-Authenticate", [])
                wider = self._relearn(response.url, challenges, access, header)
            if wider is None or request.body is not None:
                self._check_transient(response)
                yield response
                return
        headers, _ = await self._authorize(request, wider)
        async with self.transport.open(replace(request, headers=headers)) as response:
            self._check_transient(response)
            yield response

    def _check_transient(self, response: aiohttp.ClientResponse) -> None:
        if response.status in TRANSIENT_STATUSES:
            raise transient_answer(self.name, response.status, response.headers)

    async def _authorized_call(self, request: Request, access: Access) -> tuple[Answer, str | None]:
        headers, header = await self._authorize(request, access)
        return await self.transport.call(replace(request, headers=headers)), header

    async def _authorize(self, request: Request, access: Access) -> tuple[dict[str, str], str | None]:
        headers = dict(request.headers)
        if not self.transport.is_home(request.url):
            return headers, None
        header = await self._authorizer.header(access)
        if header is not None:
            headers["Authorization"] = header
        return headers, header

    def _relearn(self, url: URL, challenges: list[str], access: Access, header: str | None) -> Access | None:
        """Take in a 401; return the access to try again with, None when that could not help."""
        if not self.transport.is_home(url):
            return None
        challenge = self._authorizer.learn(url, parse_challenges(challenges))
        self._authorizer.forget(access, header)
        if challenge is None or (challenge.scheme == "basic" and header is not None):
            return None
        return access.widened(challenge.scopes())

    async def _connect(self) -> None:
        """Find out the scheme and how to authenticate (distribution-spec, "Determining Support")."""
        base = URL(f"https://{self.host}", encoded=True)
        host = base.host or self.host
        reach = await reach_of(host, asyncio.get_running_loop())
        if self.options.tls.options.insecure or is_loopback(host):
            with contextlib.suppress(TransientError, TlsError):
                await self._try(base, reach, RetryPolicy(attempts=1), PROBE_TIMEOUT_S)
                return
            base = base.with_scheme("http")
        await self._try(base, reach, self.options.retry, self.options.timeouts.call_s)

    async def _try(self, base: URL, reach: Reach, retry: RetryPolicy, timeout_s: float) -> None:
        self.transport.settle(base, reach)
        request = Request("GET", URL(f"{base.origin()}/v2/", encoded=True), timeout_s=timeout_s)
        answer = await retrying(retry, lambda: self._probe(request))
        if answer.status == _UNAUTHORIZED and self.transport.is_home(answer.url):
            self._authorizer.learn(base, parse_challenges(answer.headers.getall("WWW-Authenticate", [])))
        self._base = base.origin()

    async def _probe(self, request: Request) -> Answer:
        try:
            answer = await self.transport.call(request)
        except UnreachableError as error:
            self._unreached += 1
            if self._unreached < MAX_UNREACHED:
                raise
            raise RemoteError(str(error), hint=error.hint) from error
        if answer.status in TRANSIENT_STATUSES:
            raise transient_answer(self.name, answer.status, answer.headers)
        return answer


def answer_error(registry: str, what: str, status: int, body: bytes) -> RemoteError:
    """Return the error for a status that the caller did not expect, in the registry's own words if any."""
    reason = registry_message(body)
    told = f": {reason}" if reason else ""
    match status:
        case 401:
            return RefusedError(
                f"{registry} wants authentication for {what}{told}",
                hint=f"log in to {registry}, or give credentials",
            )
        case 403 | 412:
            return RefusedError(f"{registry} refuses {what} ({status}){told}")
        case 404:
            return NotFoundError(f"{registry} does not have {what}")
        case 413:
            return RemoteError(f"{registry} finds {what} too large{told}")
        case _:
            return ProtocolError(f"{registry} answered {status} for {what}{told}")


def registry_message(body: bytes) -> str:
    """Return the first error in an error body of the distribution specification, safe to print."""
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        error = orjson.loads(body)["errors"][0]
        text = f"{error.get('code', '')} {error.get('message', '')}" if isinstance(error, dict) else ""
        return "".join(char for char in text if char.isprintable()).strip()[:300]
    return ""
