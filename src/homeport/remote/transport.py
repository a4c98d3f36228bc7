"""HTTP towards one registry: timeouts, redirects that keep secrets at home, bounded answers."""

import asyncio
import datetime as dt
import os
import ssl
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from homeport import __version__
from homeport.remote.errors import (
    CertificateError,
    ProtocolError,
    RemoteError,
    TlsError,
    TransientError,
    UnreachableError,
)
from homeport.remote.reach import AddressRefusedError, GuardedResolver, Reach, parse_address
from homeport.remote.retry import parse_retry_after
from homeport.remote.tls import TlsContexts

MAX_REDIRECTS = 5
READ_BUFFER_BYTES = 1024 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of waiting, in seconds: to connect, between two bytes, for a whole small call, for a commit."""

    connect_s: float = 15.0
    idle_s: float = 60.0
    call_s: float = 120.0
    commit_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `body` of a stream is any aiohttp payload. `limit_bytes` bounds the answer."""

    method: str
    url: URL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | aiohttp.Payload | None = None
    limit_bytes: int = 1024 * 1024
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response with a bounded body; `url` is where the last redirect led."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: URL


class Transport:
    """Connections of one registry, pooled; close it with `async with`.

    Its own host is reached as given. Any other host that its answers lead to is checked: http or https, no
    step down from https, no address outside the reach, and never the registry's Authorization.
    """

    def __init__(self, registry: str, tls: TlsContexts, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.reach = Reach(may_be_private=False)
        self._registry = registry
        self._tls = tls
        self._home_tls: ssl.SSLContext | None = None
        self._home: URL | None = None
        self._session: aiohttp.ClientSession | None = None
        self._other_session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._session, self._other_session):
            if session is not None:
                await session.close()

    def settle(self, home: URL, reach: Reach) -> None:
        """Fix the registry's own origin and how far its answers may lead."""
        self._home = home.origin()
        self.reach = reach

    def derive(self, base: URL, location: str) -> URL:
        """Return the URL that an answer from `base` names; raises ProtocolError when it may not be used."""
        if not location or len(location) > 16_384 or not location.isascii() or not location.isprintable():  # noqa: PLR2004 - no URL is that long
            raise ProtocolError(f"{base.host} sent an unusable URL")
        if " " in location:
            raise ProtocolError(f"{base.host} sent a URL with a space")
        try:
            url = base.join(URL(location, encoded=True)).with_user(None).with_fragment(None)
        except ValueError as error:
            raise ProtocolError(f"{base.host} sent a malformed URL") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise ProtocolError(f"{base.host} sent a URL that is neither http nor https")
        if base.scheme == "https" and url.scheme == "http":
            raise ProtocolError(
                f"{base.host} led from https to http on {url.host}",
                hint="the registry must offer https there",
            )
        if not self.is_home(url):
            address = parse_address(url.host)
            if address is not None and not self.reach.allows(address):
                raise ProtocolError(f"{base.host} led to {url.host}, an address that a registry may not use")
        return url

    def is_home(self, url: URL) -> bool:
        """Tell whether the URL is of the registry itself: same scheme, host and port."""
        return self._home is None or url.origin() == self._home

    async def call(self, request: Request) -> Answer:
        """Send the request and return the whole answer, redirects followed for GET and HEAD.

        Raises TransientError when the connection fails, ProtocolError when the body is larger than the
        limit, CertificateError when the server cannot be trusted.
        """
        limit_s = request.timeout_s or self.timeouts.call_s
        try:
            async with asyncio.timeout(limit_s), self.open(request) as response:
                body = await _read_bounded(response, request.limit_bytes)
                return Answer(response.status, response.headers, body, response.url)
        except TimeoutError as error:
            raise TransientError(f"{request.url.host} did not answer in {limit_s:.0f} s") from error

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request and give the response, its body unread; errors as in `call`."""
        url, headers = request.url, dict(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._once(request, url, headers) as response:
                location = response.headers.get("Location")
                if (
                    response.status not in _REDIRECTS
                    or location is None
                    or request.method not in _SAFE_METHODS
                ):
                    yield response
                    return
                target = self.derive(url, location)
            if target.origin() != url.origin():
                headers.pop("Authorization", None)
            url = target
        raise ProtocolError(f"{request.url.host} redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _once(
        self, request: Request, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        at_home = self.is_home(url)
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self.timeouts.connect_s,
            connect=None,
            sock_read=request.timeout_s or self.timeouts.idle_s,
        )
        try:
            async with self._session_for(at_home=at_home).request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                ssl=self._tls_for(url, at_home=at_home),
                proxy=_proxy_for(url),
                timeout=timeout,
            ) as response:
                yield response
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise explain_failure(error, url) from error

    def _tls_for(self, url: URL, *, at_home: bool) -> ssl.SSLContext | bool:
        if url.scheme != "https":
            return True
        if not at_home:
            return self._tls.for_others()
        if self._home_tls is None:
            self._home_tls = self._tls.for_registry(self._registry)
        return self._home_tls

    def _session_for(self, *, at_home: bool) -> aiohttp.ClientSession:
        if at_home:
            if self._session is None:
                self._session = _new_session(None)
            return self._session
        if self._other_session is None:
            self._other_session = _new_session(GuardedResolver(self.reach))
        return self._other_session


def _new_session(resolver: GuardedResolver | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=READ_BUFFER_BYTES,
        headers={"User-Agent": f"homeport/{__version__}", "Accept-Encoding": "identity"},
        skip_auto_headers=("Content-Type",),
    )


def _proxy_for(url: URL) -> str | None:
    """Return the proxy that the environment names for the URL (`https_proxy`, `no_proxy`)."""
    proxies = urllib.request.getproxies_environment()
    if not proxies or url.host is None:
        return None
    if urllib.request.proxy_bypass_environment(f"{url.host}:{url.port}", proxies):  # type: ignore[attr-defined]
        return None
    return proxies.get(url.scheme)


async def _read_bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    async for part in response.content.iter_any():
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise ProtocolError(f"{response.url.host} sent an answer of more than {limit_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def explain_failure(error: BaseException, url: URL) -> RemoteError:
    """Return the error that says what happened to a connection, transient when a retry may help."""
    host = url.host
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorCertificateError():
            return _explain_connect(error, host)
        case aiohttp.InvalidURL():
            return ProtocolError(f"the URL of {host} is malformed")
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return TransientError(f"{host} stopped answering")
        case aiohttp.ClientResponseError():
            return TransientError(f"{host} sent a malformed HTTP response")
        case _:
            return TransientError(f"the connection to {host} broke")


def _explain_connect(
    error: aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError, host: str | None
) -> RemoteError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return CertificateError(
                f"the certificate of {host} cannot be verified: {_reason(error.certificate_error)}",
                hint="give its authority with --ca FILE, put it in certs.d, or use --insecure",
            )
        case aiohttp.ClientConnectorSSLError():
            return TlsError(
                f"{host} does not speak TLS as expected: {_reason(error.os_error)}",
                hint="use --insecure when it serves plain HTTP",
            )
        case _ if isinstance(error.os_error, AddressRefusedError):
            return ProtocolError(f"the registry led to {host}, which has no public address")
        case aiohttp.ClientConnectorDNSError():
            text, hint = f"the name {host} cannot be resolved", "check the name of the registry"
        case aiohttp.ClientProxyConnectionError():
            text, hint = f"the proxy for {host} cannot be reached", "check https_proxy"
        case _:
            text, hint = f"{host} cannot be reached: {_reason(error.os_error)}", ""
    return UnreachableError(text, hint=hint)


def _reason(error: Any) -> str:
    code = getattr(error, "errno", None)
    if (
        isinstance(error, OSError)
        and not isinstance(error, ssl.SSLError)
        and isinstance(code, int)
        and code > 0
    ):
        return os.strerror(code)
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return str(text)[:200]


def transient_answer(host: str, status: int, headers: Mapping[str, str]) -> TransientError:
    """Return the error for an answer that asks to come again later."""
    pause_s = parse_retry_after(headers.get("Retry-After"), dt.datetime.now(dt.UTC))
    return TransientError(f"{host} answered {status}", retry_after_s=pause_s)
