"""Talks to an OpenID provider: discovery, keys, tokens for a code, user information; all within bounds."""

import asyncio
import base64
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from homeport.auth.issuers import IssuerKey, IssuerUnusableError, parse_keys, select_key
from homeport.auth.oidc_settings import OidcEndpoint, OidcSettings
from homeport.auth.secret import Secret
from homeport.errors import HomeportError

MAX_ANSWER_BYTES = 256 * 1024
TIMEOUT_S = 10.0

_MAX_URL_LENGTH = 2048
_TTL_S = 600.0
_ASK_AGAIN_S = 15.0
_OK = 200


class ProviderError(HomeportError):
    """The provider cannot be asked, or its answer cannot be used; the message says why."""


class CodeRefusedError(ProviderError):
    """The provider answered, and gave no tokens for the code."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the provider says of itself (OpenID Connect Discovery 1.0), as far as it is needed."""

    issuer: str
    authorization_url: str
    token_url: str
    keys_url: str
    userinfo_url: str | None
    takes_basic: bool
    names_issuer: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider gave for a code."""

    id_token: Secret
    access_token: Secret | None


@dataclass(frozen=True, slots=True)
class CodeExchange:
    """A code, and what must accompany it."""

    code: Secret
    verifier: Secret
    redirect_uri: str


class OidcProvider:
    """Knows one provider at a time, the one that the settings of a call name.

    Discovery and keys are kept for ten minutes; for a key that is not known they are asked for again, at most
    every 15 seconds. Every method raises ProviderError. No redirect is followed, what the provider names is
    asked over TLS unless the provider itself is configured without, and addresses that are local to a link,
    where clouds keep their machines' secrets, are never connected to.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._endpoint: OidcEndpoint | None = None
        self._discovery: Discovery | None = None
        self._keys: tuple[IssuerKey, ...] = ()
        self._discovered_at = self._fetched_at = -_TTL_S

    async def discover(self, endpoint: OidcEndpoint) -> Discovery:
        """Return what the provider says of itself."""
        async with self._lock:
            return await self._discover(endpoint)

    async def find_key(self, endpoint: OidcEndpoint, kid: str | None, algorithm: str) -> IssuerKey | None:
        """Return the provider's key of that name for the algorithm, None when it has none."""
        async with self._lock:
            discovery = await self._discover(endpoint)
            age = self._monotonic() - self._fetched_at
            key = select_key(self._keys, kid, algorithm)
            if age >= _TTL_S or (key is None and age >= _ASK_AGAIN_S):
                document = await _fetch(endpoint, "GET", discovery.keys_url)
                try:
                    self._keys = parse_keys(document)
                except IssuerUnusableError as error:
                    raise ProviderError(str(error)) from error
                self._fetched_at = self._monotonic()
                key = select_key(self._keys, kid, algorithm)
            return key

    async def exchange(self, settings: OidcSettings, exchange: CodeExchange) -> Tokens:
        """Return the tokens for a code. Raises CodeRefusedError too."""
        discovery = await self.discover(settings.endpoint)
        form = {
            "grant_type": "authorization_code",
            "code": exchange.code.reveal(),
            "redirect_uri": exchange.redirect_uri,
            "code_verifier": exchange.verifier.reveal(),
        }
        headers = {}
        secret = settings.client_secret.reveal()
        if secret and discovery.takes_basic:
            # RFC 6749, section 2.3.1: each is encoded before they are joined
            login = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        else:
            form["client_id"] = settings.client_id
            if secret:
                form["client_secret"] = secret
        document = await _fetch(settings.endpoint, "POST", discovery.token_url, headers=headers, form=form)
        id_token, access_token = document.get("id_token"), document.get("access_token")
        if not isinstance(id_token, str):
            raise CodeRefusedError("the provider gave no ID token")
        return Tokens(Secret(id_token), Secret(access_token) if isinstance(access_token, str) else None)

    async def read_userinfo(self, endpoint: OidcEndpoint, access_token: Secret) -> Mapping[str, Any]:
        """Return what the provider says of the user; nothing when it has no such endpoint."""
        discovery = await self.discover(endpoint)
        if discovery.userinfo_url is None:
            return {}
        headers = {"authorization": f"Bearer {access_token.reveal()}"}
        return await _fetch(endpoint, "GET", discovery.userinfo_url, headers=headers)

    async def _discover(self, endpoint: OidcEndpoint) -> Discovery:
        is_known = self._endpoint == endpoint and self._monotonic() - self._discovered_at < _TTL_S
        if is_known and self._discovery is not None:
            return self._discovery
        discovery = await fetch_discovery(endpoint)
        if self._endpoint != endpoint:
            self._keys, self._fetched_at = (), -_TTL_S
        self._endpoint, self._discovery, self._discovered_at = endpoint, discovery, self._monotonic()
        return discovery


async def fetch_discovery(endpoint: OidcEndpoint) -> Discovery:
    """Return what the provider says of itself now. Raises ProviderError."""
    issuer = endpoint.issuer
    document = await _fetch(endpoint, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    named = document.get("issuer")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        raise ProviderError("the discovery document is of another issuer", hint="check oidc_endpoint")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    userinfo = document.get("userinfo_endpoint")
    return Discovery(
        named,
        _url(endpoint, document, "authorization_endpoint"),
        _url(endpoint, document, "token_endpoint"),
        _url(endpoint, document, "jwks_uri"),
        None if userinfo is None else _url(endpoint, document, "userinfo_endpoint"),
        isinstance(methods, list) and "client_secret_basic" in methods,
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _url(endpoint: OidcEndpoint, document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not 0 < len(url) <= _MAX_URL_LENGTH or not url.isprintable():
        raise ProviderError(f"the discovery document has no {name} that can be used")
    check_provider_url(endpoint, url)
    return url


def check_provider_url(endpoint: OidcEndpoint, url: str) -> None:
    """Raise ProviderError unless the URL may be asked, or sent to a browser, for this provider."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ProviderError("a URL of the provider is malformed") from None
    if not host or parts.username is not None or parts.fragment:
        raise ProviderError("a URL of the provider is malformed")
    allows_http = endpoint.issuer.startswith("http://")
    if parts.scheme != "https" and not (parts.scheme == "http" and allows_http):
        raise ProviderError("a URL of the provider does not begin with https://")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if not _is_allowed(address):
        raise ProviderError("a URL of the provider leads to an address that is not allowed")


def _is_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (address.is_link_local or address.is_multicast or address.is_unspecified)


async def _fetch(
    endpoint: OidcEndpoint,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    check_provider_url(endpoint, url)
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(), ssl=_tls(endpoint), force_close=True, use_dns_cache=False
    )
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                headers={"accept": "application/json", "accept-encoding": "identity"},
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.request(method, url, headers=headers, data=form, allow_redirects=False) as response,
        ):
            body = await _read(response)
            if response.status != _OK:
                kind = CodeRefusedError if form is not None else ProviderError
                raise kind(f"the provider answered {response.status} at {urlsplit(url).path}")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise ProviderError(f"the provider cannot be asked: {error or type(error).__name__}") from error
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise ProviderError(f"the provider's answer at {urlsplit(url).path} is no JSON object")
    return document


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ProviderError(f"an answer of the provider has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _tls(endpoint: OidcEndpoint) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if endpoint.ca:
        context.load_verify_locations(cadata=endpoint.ca)
    if not endpoint.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _GuardedResolver(AbstractResolver):
    """Resolves names and leaves out every address that is never connected to."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses; raises OSError when none is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [
            result for result in found if _is_allowed(ipaddress.ip_address(result["host"].partition("%")[0]))
        ]
        if not allowed:
            raise OSError(f"{host} has no address that is allowed")
        return allowed

    async def close(self) -> None:
        """Release nothing: the threads belong to the event loop."""
        await self._resolver.close()
