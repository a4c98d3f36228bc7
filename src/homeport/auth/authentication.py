"""Who sends this request? Reads Authorization headers, Bearer and Basic."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from homeport.auth.access_tokens import AccessTokens
from homeport.auth.accounts import Accounts
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import Clock, utc_now
from homeport.auth.errors import CredentialsMalformedError, TokenInvalidError
from homeport.auth.grants import Grants
from homeport.auth.password_login import PasswordLogin
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.rules.permissions import (
    ANONYMOUS,
    AuthMethod,
    Principal,
    RepositoryAction,
)

MAX_HEADER_BYTES = 64 * 1024

_CACHED_HEADERS = 20_000


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who sends a request, and what its token covers.

    `scopes` holds the actions per repository that the token was issued for, None when nothing limits the
    principal; `may_list_catalog` tells whether the token covers the catalog. Neither is a right by itself:
    `rules.permissions` says what the principal may do now.
    """

    principal: Principal
    scopes: Mapping[str, frozenset[RepositoryAction]] | None = None
    may_list_catalog: bool = True


UNAUTHENTICATED = Authentication(ANONYMOUS)


@dataclass(frozen=True, slots=True)
class _Believed:
    authentication: Authentication
    version: int
    expires_at: datetime | None


class Authenticator:
    """Turns Authorization headers into principals, by the facts of now.

    A header that was believed is remembered by its keyed hash together with the database's access version;
    when that has moved, the account is looked at again before the header is believed once more.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        tokens: AccessTokens,
        login: PasswordLogin,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._tokens = tokens
        self._login = login
        self._clock = clock
        self._cache_key = secrets.token_bytes(32)
        self._believed: BoundedCache[bytes, _Believed] = BoundedCache(_CACHED_HEADERS)

    @property
    def service(self) -> str:
        """The service that access tokens are for, as challenges name it."""
        return self._tokens.audience.service

    def authenticate_cached(self, authorization: bytes | None, version: int) -> Authentication | None:
        """Return the answer of `authenticate` when it was given before and still holds, else None.

        Does no I/O. `version` is the database's access version, read by the caller after the request came in.
        """
        if authorization is None:
            return UNAUTHENTICATED
        key = blake2b(authorization, key=self._cache_key, digest_size=16).digest()
        found = self._believed.get(key)
        if found is None or found.version != version:
            return None
        if found.expires_at is not None and self._clock() >= found.expires_at:
            return None
        return found.authentication

    async def authenticate(self, authorization: bytes | None, client_address: str) -> Authentication:
        """Return who sends a request with this header; without one, and with empty Basic ones, nobody.

        Raises AuthenticationError (CredentialsMalformedError, PasswordWrongError, TokenInvalidError) and
        LoginSlowedDownError.
        """
        if authorization is None:
            return UNAUTHENTICATED
        if len(authorization) > MAX_HEADER_BYTES:
            raise CredentialsMalformedError("the Authorization header is too long")
        version = await self._database.access_version()
        scheme, _, value = authorization.strip().partition(b" ")
        match scheme.lower():
            case b"bearer":
                believed = await self._authenticate_token(value.strip(), version)
            case b"basic":
                believed = await self._authenticate_password(value.strip(), client_address, version)
            case _:
                raise CredentialsMalformedError(
                    "the Authorization header has an unknown scheme", hint="use Bearer or Basic"
                )
        key = blake2b(authorization, key=self._cache_key, digest_size=16).digest()
        self._believed.put(key, believed)
        return believed.authentication

    async def _authenticate_token(self, text: bytes, version: int) -> _Believed:
        token = await self._tokens.verify(text)
        subject = token.subject
        if subject.user_id is None:
            return _Believed(_with_grants(ANONYMOUS, token.grants), version, token.expires_at)
        account = await self._accounts.find_signed_in(
            subject.kind, subject.user_id, subject.password_fingerprint, self._clock()
        )
        if account is None or account.username != subject.username:
            raise TokenInvalidError("the token's account was deleted, disabled or got another password")
        principal = account.as_principal(AuthMethod.BEARER)
        expires_at = min(token.expires_at, account.valid_until or token.expires_at)
        return _Believed(_with_grants(principal, token.grants), version, expires_at)

    async def _authenticate_password(self, text: bytes, client_address: str, version: int) -> _Believed:
        username, password = parse_basic_credentials(text)
        if not username and not password:
            return _Believed(UNAUTHENTICATED, version, None)
        account = await self._login.sign_in(username, password, client_address)
        principal = account.as_principal(AuthMethod.BASIC)
        return _Believed(Authentication(principal), version, account.valid_until)


def _with_grants(principal: Principal, grants: Grants) -> Authentication:
    return Authentication(principal, grants.repositories, grants.may_list_catalog)


def parse_basic_credentials(value: bytes) -> tuple[str, Secret]:
    """Return user name and password of a Basic header's value (RFC 7617), UTF-8.

    Raises CredentialsMalformedError.
    """
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = username = password = ""
    if not colon or "\0" in username + password:
        raise CredentialsMalformedError(
            "the Authorization header holds no Basic credentials",
            hint="send the base64 text of USER:PASSWORD in UTF-8",
        )
    return username, Secret(password)
