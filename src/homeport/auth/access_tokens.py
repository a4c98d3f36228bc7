"""Access tokens for /v2: signed statements of who asked for which scopes (distribution, "Token")."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import Clock, utc_now
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.errors import SigningKeyUnknownError, TokenInvalidError
from homeport.auth.grants import Grants, grants_from_claim
from homeport.auth.signing_keys import ALGORITHM, SigningKeys
from homeport.rules.permissions import PrincipalKind

MAX_TOKEN_BYTES = 48 * 1024

_LEEWAY = timedelta(seconds=30)
_CACHED_TOKENS = 20_000
_SUBJECT_CLAIMS = {PrincipalKind.USER: "homeport_user", PrincipalKind.ROBOT: "homeport_robot"}
_MAX_TIMESTAMP = 253_402_300_799


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """Whose token it is: a user's or a robot's, by `kind`; None in place of the id is the anonymous one."""

    username: str
    user_id: int | None
    password_fingerprint: str
    kind: PrincipalKind = PrincipalKind.USER


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature and claims were checked.

    It grants at most its scopes, and of them only what its subject may do at the moment of use.
    """

    token_id: str
    kid: str
    subject: TokenSubject
    grants: Grants
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenAudience:
    """Who issues tokens, for which service, and how long they live unless the configuration says."""

    issuer: str
    service: str
    ttl: timedelta


class AccessTokens:
    """Issues access tokens and checks them: signature, algorithm, issuer, audience and times.

    Whether the subject still exists is for the caller to check at each use.
    """

    def __init__(
        self,
        keys: SigningKeys,
        audience: TokenAudience,
        clock: Clock = utc_now,
        configuration: ConfigurationReader | None = None,
    ) -> None:
        self._keys = keys
        self._configuration = configuration
        self.audience = audience
        self._clock = clock
        self._cache_key = secrets.token_bytes(32)
        self._verified: BoundedCache[bytes, AccessToken] = BoundedCache(_CACHED_TOKENS)

    async def issue(self, subject: TokenSubject, grants: Grants) -> tuple[str, AccessToken]:
        """Return a new token, as text and as what it says."""
        signing = await self._keys.signing_key()
        now = self._clock().replace(microsecond=0)
        expires_at = now + await self._ttl()
        token = AccessToken(secrets.token_urlsafe(16), signing.kid, subject, grants, now, expires_at)
        claims = {
            "iss": self.audience.issuer,
            "sub": subject.username if subject.user_id is not None else "",
            "aud": self.audience.service,
            "exp": int(token.expires_at.timestamp()),
            "nbf": int(now.timestamp()),
            "iat": int(now.timestamp()),
            "jti": token.token_id,
            "access": grants.as_claim(),
        }
        if subject.user_id is not None:
            claims[_SUBJECT_CLAIMS[subject.kind]] = {
                "id": subject.user_id,
                "pwd": subject.password_fingerprint,
            }
        header = {"alg": ALGORITHM, "kid": signing.kid, "typ": "JWT"}
        return jwt.encode(header, claims, signing.key, algorithms=[ALGORITHM]), token

    async def _ttl(self) -> timedelta:
        if self._configuration is not None:
            configuration = await self._configuration.read()
            if "token_expiration" in configuration.stored_names:
                return timedelta(minutes=configuration.token_expiration)
        return self.audience.ttl

    def verify_cached(self, token: bytes) -> AccessToken | None:
        """Return what the token says when it was checked before and has not expired; does no I/O."""
        found = self._verified.get(self._digest(token))
        if found is None or self._keys.find(found.kid) is None or self._clock() >= found.expires_at:
            return None
        return found

    async def verify(self, token: bytes) -> AccessToken:
        """Return what the token says; raises TokenInvalidError."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenInvalidError("the token is too long")
        await self._keys.refresh()
        found = self.verify_cached(token)
        if found is None:
            try:
                found = self._verify(token)
            except SigningKeyUnknownError:
                if not await self._keys.look_again():
                    raise
                found = self._verify(token)
            self._verified.put(self._digest(token), found)
        return found

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._cache_key, digest_size=16).digest()

    def _verify(self, token: bytes) -> AccessToken:
        kids: list[str] = []

        def find_key(signature: GuestProtocol) -> ECKey:
            kid = signature.headers().get("kid")
            key = self._keys.find(kid) if isinstance(kid, str) else None
            if key is None:
                raise SigningKeyUnknownError
            kids.append(str(kid))
            return key

        try:
            decoded = jwt.decode(token, find_key, algorithms=[ALGORITHM])
        except (JoseError, ValueError) as error:
            raise TokenInvalidError("the token is malformed or its signature is wrong") from error
        return self._read_claims(kids[0], decoded.claims)

    def _read_claims(self, kid: str, claims: Mapping[str, Any]) -> AccessToken:
        if claims.get("iss") != self.audience.issuer:
            raise TokenInvalidError("the token was issued by another service")
        if claims.get("aud") != self.audience.service:
            raise TokenInvalidError("the token is meant for another service")
        now = self._clock()
        issued_at = _moment(claims, "iat")
        expires_at = _moment(claims, "exp")
        if now >= expires_at + _LEEWAY:
            raise TokenInvalidError("the token has expired")
        if now < max(_moment(claims, "nbf"), issued_at) - _LEEWAY:
            raise TokenInvalidError("the token is not valid yet")
        return AccessToken(
            token_id=_text(claims, "jti"),
            kid=kid,
            subject=_subject(claims),
            grants=grants_from_claim(claims.get("access")),
            issued_at=issued_at,
            expires_at=expires_at + _LEEWAY,
        )


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_TIMESTAMP:
        raise TokenInvalidError(f"the token's claim {name!r} is missing or malformed")
    return datetime.fromtimestamp(value, tz=UTC)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise TokenInvalidError(f"the token's claim {name!r} is missing or malformed")
    return value


def _subject(claims: Mapping[str, Any]) -> TokenSubject:
    username = _text(claims, "sub")
    kind = PrincipalKind.ROBOT if _SUBJECT_CLAIMS[PrincipalKind.ROBOT] in claims else PrincipalKind.USER
    match claims.get(_SUBJECT_CLAIMS[kind]), username:
        case None, "":
            return TokenSubject("", None, "")
        case {"id": int(user_id), "pwd": str(fingerprint)}, name if name:
            return TokenSubject(username, user_id, fingerprint, kind)
        case _:
            raise TokenInvalidError("the token names no subject")
