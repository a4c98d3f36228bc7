"""How one registry wants to be asked: Basic, or Bearer tokens from its token service, renewed in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from yarl import URL

from homeport.oci.challenge import Challenge
from homeport.remote.credentials import Credentials
from homeport.remote.errors import ProtocolError, RefusedError, RemoteError
from homeport.remote.retry import TRANSIENT_STATUSES, RetryPolicy, retrying
from homeport.remote.transport import Answer, Request, Transport, transient_answer

CLIENT_ID = "homeport"
DEFAULT_TTL_S = 60.0
MAX_TTL_S = 24 * 3600.0
MAX_REPLY_BYTES = 256 * 1024
MAX_TOKENS = 1024

FindCredentials = Callable[[str], Awaitable[Credentials | None]]


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs: the repository whose credentials serve, and the scopes of its token."""

    repository: str = ""
    scopes: frozenset[str] = frozenset()

    def widened(self, scopes: Iterable[str]) -> "Access":
        """Return the access with these scopes too."""
        return Access(self.repository, self.scopes | frozenset(scopes))


def pull_access(repository: str) -> Access:
    """Return the access that reading the repository needs."""
    return Access(repository, frozenset({f"repository:{repository}:pull"}))


def push_access(repository: str) -> Access:
    """Return the access that writing to the repository needs."""
    return Access(repository, frozenset({f"repository:{repository}:pull,push"}))


def mount_access(repository: str, origin: str) -> Access:
    """Return the access that mounting blobs of another repository needs."""
    return push_access(repository).widened({f"repository:{origin}:pull"})


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    renew_at: float


@dataclass(slots=True)
class _Slot:
    """A token, and the lock under which it is fetched so that all who wait get the same."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: _Token | None = None


class Authorizer:
    """The Authorization headers for one registry; nothing is sent before the registry asks for it."""

    def __init__(self, transport: Transport, find_credentials: FindCredentials, retry: RetryPolicy) -> None:
        self._transport = transport
        self._find = find_credentials
        self._retry = retry
        self._base = URL()
        self._challenge: Challenge | None = None
        self._credentials: dict[str, Credentials | None] = {}
        self._tokens: dict[Access, _Slot] = {}

    def learn(self, base: URL, challenges: Iterable[Challenge]) -> Challenge | None:
        """Note how the registry at this URL wants to be asked: Bearer before Basic. Returns the choice."""
        chosen = None
        for challenge in challenges:
            usable = challenge.scheme == "bearer" and "realm" in challenge.parameters
            if usable or (challenge.scheme == "basic" and chosen is None):
                chosen = challenge
            if usable:
                break
        if chosen is not None:
            self._base, self._challenge = base, chosen
        return chosen

    async def header(self, access: Access) -> str | None:
        """Return the Authorization for the access, None when the registry asked for none or none is known.

        Raises RefusedError when the token service refuses the credentials.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            credentials = await self._credentials_for(access.repository)
            return credentials.basic() if credentials is not None and credentials.username else None
        slot = self._slot(access)
        async with slot.lock:
            if slot.token is None or time.monotonic() >= slot.token.renew_at:
                slot.token = await self._fetch(challenge, access)
            return slot.token.header

    def forget(self, access: Access, header: str | None) -> None:
        """Drop the token of the access if it is still this one: the registry refused it."""
        slot = self._tokens.get(access)
        if slot is not None and slot.token is not None and slot.token.header == header:
            slot.token = None

    def _slot(self, access: Access) -> "_Slot":
        """Return the place of the token; of too many, the one that was made first is forgotten."""
        if access not in self._tokens:
            while len(self._tokens) >= MAX_TOKENS:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[access] = _Slot()
        return self._tokens[access]

    async def _credentials_for(self, repository: str) -> Credentials | None:
        if repository not in self._credentials:
            self._credentials[repository] = await self._find(repository)
        return self._credentials[repository]

    async def _fetch(self, challenge: Challenge, access: Access) -> _Token:
        credentials = await self._credentials_for(access.repository)
        realm = self._transport.derive(self._base, challenge.parameters["realm"])
        service = challenge.parameters.get("service", "")
        started = time.monotonic()
        if credentials is not None and credentials.identity_token:
            request = _refresh_request(realm, service, access, credentials.identity_token)
        else:
            request = _token_request(realm, service, access, credentials)
        answer = await retrying(self._retry, lambda: self._ask(request))
        if answer.status != 200:  # noqa: PLR2004 - HTTP OK
            raise self._refusal(answer, credentials)
        return _read_token(answer, started)

    async def _ask(self, request: Request) -> Answer:
        answer = await self._transport.call(request)
        if answer.status in TRANSIENT_STATUSES:
            raise transient_answer(str(request.url.host), answer.status, answer.headers)
        return answer

    def _refusal(self, answer: Answer, credentials: Credentials | None) -> RemoteError:
        host = self._base.host
        if answer.status not in {400, 401, 403}:
            return ProtocolError(f"the token service of {host} answered {answer.status}")
        if credentials is None:
            return RefusedError(
                f"{host} gives no token without credentials", hint=f"log in to {host}, or give credentials"
            )
        who = f"of {credentials.username}" if credentials.username else "stored for it"
        return RefusedError(
            f"{host} refuses the credentials {who}", hint="log in again, or give other credentials"
        )


def _token_request(realm: URL, service: str, access: Access, credentials: Credentials | None) -> Request:
    query = [("scope", scope) for scope in sorted(access.scopes)]
    if service:
        query.append(("service", service))
    headers = {"Accept": "application/json"}
    if credentials is not None:
        query.append(("account", credentials.username))
        headers["Authorization"] = credentials.basic()
    return Request("GET", realm.extend_query(query), headers, limit_bytes=MAX_REPLY_BYTES)


def _refresh_request(realm: URL, service: str, access: Access, refresh_token: str) -> Request:
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "service": service,
        "scope": " ".join(sorted(access.scopes)),
        "refresh_token": refresh_token,
    }
    body = URL().with_query(form).raw_query_string.encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return Request("POST", realm, headers, body, limit_bytes=MAX_REPLY_BYTES)


def _read_token(answer: Answer, started: float) -> _Token:
    host = answer.url.host
    try:
        document: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the token service {host} sent no JSON") from error
    if not isinstance(document, Mapping):
        raise ProtocolError(f"the token service {host} sent no JSON object")
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise ProtocolError(f"the token service {host} sent no usable token")
    expires_in = document.get("expires_in")
    ttl_s = DEFAULT_TTL_S
    if isinstance(expires_in, int | float) and not isinstance(expires_in, bool) and expires_in > 0:
        ttl_s = min(float(expires_in), MAX_TTL_S)
    return _Token(f"Bearer {token}", started + ttl_s - min(15.0, ttl_s / 4))
