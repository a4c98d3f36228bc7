"""The public keys of token issuers, fetched from where their discovery documents say, within bounds."""

import asyncio
import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from homeport.auth.bounded_cache import BoundedCache
from homeport.errors import HomeportError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ISSUER_LENGTH = 512
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 64
FETCH_TIMEOUT_S = 5.0

_KEYS_TTL_S = 600.0
_STALE_TTL_S = 3600.0
_ASK_AGAIN_S = 15.0
_MAX_ISSUERS = 256
_MAX_FETCHES = 4
_MIN_RSA_BITS = 2048
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_CURVE_ALGORITHMS = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class IssuerUnusableError(HomeportError):
    """An issuer cannot be asked for its keys, or what it answers cannot be used."""


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """Where issuers may be.

    Public addresses are allowed, private ones only inside `networks`. Plain HTTP is for issuers on this very
    machine, when `allows_http`. `ca` names authorities to trust beside the system's.
    """

    networks: tuple[Network, ...] = ()
    allows_http: bool = False
    ca: Path | None = None

    def allows(self, text: str) -> bool:
        """Tell whether the textual IP address may be connected to."""
        try:
            address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not address.is_multicast


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def check_issuer(issuer: str, settings: IssuerSettings, *, is_asked: bool) -> None:
    """Raise IssuerUnusableError unless tokens of the issuer can be trusted.

    One whose keys are known already need not be a URL that can be asked.
    """
    if not 0 < len(issuer) <= MAX_ISSUER_LENGTH or not issuer.isprintable():
        raise IssuerUnusableError("the issuer is empty, too long or not printable")
    if is_asked:
        _check_url(issuer, settings)


def _check_url(url: str, settings: IssuerSettings) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise IssuerUnusableError("the URL is malformed") from None
    if not host or parts.username is not None or parts.query or parts.fragment or not url.isprintable():
        raise IssuerUnusableError("the URL is malformed", hint="use https://HOST/PATH")
    is_local = host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local and settings.allows_http):
        raise IssuerUnusableError("the URL must begin with https://")
    if _is_ip(host) and not settings.allows(host):
        raise IssuerUnusableError(
            "the address is a private one", hint="allow its network with the setting workload_networks"
        )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer, and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: RSAKey | ECKey | OKPKey


def parse_keys(jwks: object) -> tuple[IssuerKey, ...]:
    """Return the public keys in a JWK set that verify signatures; others are left out.

    Raises IssuerUnusableError when there is none, or too many.
    """
    entries = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise IssuerUnusableError(f"the keys are no JWK set of at most {MAX_KEYS} keys")
    keys = tuple(key for key in map(_parse_key, entries) if key is not None)
    if not keys:
        raise IssuerUnusableError("the JWK set holds no public key that can be used")
    return keys


def _parse_key(entry: object) -> IssuerKey | None:
    """Return the key, of its public members alone; symmetric ones and those for encryption are none."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    kty = entry.get("kty")
    members = _PUBLIC.get(kty) if isinstance(kty, str) else None
    if members is None or not all(isinstance(entry.get(name), str) for name in members):
        return None
    public: dict[str, Any] = {name: entry[name] for name in members}
    key: RSAKey | ECKey | OKPKey
    try:
        match kty:
            case "RSA":
                key = RSAKey.import_key(public)
                algorithms = _RSA_ALGORITHMS if key.public_key.key_size >= _MIN_RSA_BITS else frozenset()
            case "EC":
                key = ECKey.import_key(public)
                algorithms = _CURVE_ALGORITHMS.get(entry["crv"], frozenset())
            case _:
                key = OKPKey.import_key(public)
                algorithms = _CURVE_ALGORITHMS.get(entry["crv"], frozenset())
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    if isinstance(entry.get("alg"), str):
        algorithms &= {entry["alg"]}
    kid = entry.get("kid")
    return IssuerKey(kid if isinstance(kid, str) else None, algorithms, key) if algorithms else None


@dataclass(slots=True)
class _Issuer:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: tuple[IssuerKey, ...] = ()
    fetched_at: float = -_STALE_TTL_S
    asked_at: float = -_STALE_TTL_S


class IssuerKeys:
    """Knows the keys of issuers; asks for them when they are needed, and seldom again.

    Keys are kept for ten minutes, and for an hour while the issuer does not answer. An issuer is asked at
    most every 15 seconds, whatever keys tokens name.
    """

    def __init__(self, settings: IssuerSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._monotonic = monotonic
        self._issuers: BoundedCache[str, _Issuer] = BoundedCache(_MAX_ISSUERS)
        self._fetches = asyncio.Semaphore(_MAX_FETCHES)

    async def find(self, issuer: str, kid: str | None, algorithm: str) -> IssuerKey | None:
        """Return the issuer's key of that name for the algorithm, None when it has none.

        Raises IssuerUnusableError when the keys cannot be had.
        """
        known = self._issuers.get(issuer)
        if known is None:
            known = _Issuer()
            self._issuers.put(issuer, known)
        async with known.lock:
            now = self._monotonic()
            key = select_key(known.keys, kid, algorithm)
            if key is not None and now - known.fetched_at < _KEYS_TTL_S:
                return key
            if now - known.asked_at >= _ASK_AGAIN_S:
                known.asked_at = now
                await self._refresh(issuer, known, now)
            if now - known.fetched_at >= _STALE_TTL_S:
                raise IssuerUnusableError(
                    "the issuer's keys cannot be fetched", hint="see the log of the server"
                )
            return select_key(known.keys, kid, algorithm)

    async def _refresh(self, issuer: str, known: _Issuer, now: float) -> None:
        try:
            async with self._fetches, asyncio.timeout(3 * FETCH_TIMEOUT_S):
                known.keys = await fetch_keys(issuer, self.settings)
            known.fetched_at = now
        except (IssuerUnusableError, TimeoutError) as error:
            log.warning("issuer_keys_unavailable", issuer=issuer, error=str(error) or "timeout")


def select_key(keys: tuple[IssuerKey, ...], kid: str | None, algorithm: str) -> IssuerKey | None:
    """Return the key of that name for the algorithm; without a name, the only one that there is for it."""
    fitting = [key for key in keys if algorithm in key.algorithms and kid in {None, key.kid}]
    return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None


async def fetch_keys(issuer: str, settings: IssuerSettings) -> tuple[IssuerKey, ...]:
    """Return the keys that the issuer publishes (OpenID Connect Discovery 1.0, section 4).

    Raises IssuerUnusableError. No redirect is followed and no address connected to that is not allowed.
    """
    document = await _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", settings)
    if document.get("issuer") != issuer:
        raise IssuerUnusableError("the discovery document is of another issuer")
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str) or len(jwks_uri) > 4 * MAX_ISSUER_LENGTH:
        raise IssuerUnusableError("the discovery document names no keys")
    return parse_keys(await _fetch(jwks_uri, settings))


async def _fetch(url: str, settings: IssuerSettings) -> Mapping[str, Any]:
    _check_url(url, settings)
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(settings), ssl=_tls(settings), force_close=True, use_dns_cache=False
    )
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                headers=headers,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:  # noqa: PLR2004 - the only one that has a document
                raise IssuerUnusableError(f"{url} answered {response.status}")
            return _parse_document(url, await _read(url, response))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise IssuerUnusableError(f"{url} cannot be fetched: {error or type(error).__name__}") from error


async def _read(url: str, response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise IssuerUnusableError(f"{url} has more than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(body)


def _parse_document(url: str, body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise IssuerUnusableError(f"{url} is no JSON object")
    return document


def _tls(settings: IssuerSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise IssuerUnusableError(f"the authorities in {settings.ca} cannot be read") from error
    return context


class _GuardedResolver(AbstractResolver):
    """Resolves names and leaves out every address that may not be connected to."""

    def __init__(self, settings: IssuerSettings) -> None:
        self._settings = settings
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses; raises OSError when none is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if self._settings.allows(result["host"])]
        if not allowed:
            raise OSError(errno.EHOSTUNREACH, f"{host} has no address that is allowed")
        return allowed

    async def close(self) -> None:
        """Release nothing: the threads belong to the event loop."""
        await self._resolver.close()
