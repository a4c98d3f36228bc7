"""ID tokens: what they must say before anybody is believed (OpenID Connect Core 1.0, section 3.1.3.7)."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import compare_digest
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError

from homeport.auth.errors import AuthenticationError
from homeport.auth.issuers import IssuerKey
from homeport.auth.oidc_settings import OidcSettings
from homeport.auth.onboarding import OIDC, ExternalIdentity
from homeport.db.external_users import ExternalGroup

MAX_TOKEN_BYTES = 64 * 1024
MAX_SUBJECT_LENGTH = 255
MAX_GROUPS = 500
# signatures only: never `none`, and never a shared secret
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)

_LEEWAY = timedelta(seconds=60)
_MAX_AGE = timedelta(minutes=10)
_MAX_GROUP_LENGTH = 255
_PARTS = 3


class IdTokenInvalidError(AuthenticationError):
    """The provider's token does not say who signs in here; the message says why not."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the ID token was refused: {reason}", hint="sign in again, or ask an administrator")


@dataclass(frozen=True, slots=True)
class ExpectedToken:
    """What a token must say."""

    issuer: str
    client_id: str
    nonce: str


def read_header(token: str) -> tuple[str, str | None]:
    """Return the algorithm and the name of the key that an ID token claims. Raises IdTokenInvalidError."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN_BYTES or len(parts) != _PARTS:
        raise IdTokenInvalidError("it is no signed token")
    try:
        header = orjson.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (binascii.Error, ValueError):
        header = None
    if not isinstance(header, dict) or "crit" in header:
        raise IdTokenInvalidError("its header is not accepted")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or not isinstance(kid, str | None):
        raise IdTokenInvalidError("its algorithm is not accepted")
    return algorithm, kid


def verify_id_token(
    token: str, key: IssuerKey | None, expected: ExpectedToken, now: datetime
) -> Mapping[str, Any]:
    """Return the claims of a token that is right in every respect. Raises IdTokenInvalidError."""
    algorithm, _ = read_header(token)
    if key is None or algorithm not in key.algorithms:
        raise IdTokenInvalidError("its key is not known")
    try:
        claims = jwt.decode(token, key.key, algorithms=[algorithm]).claims
    except (JoseError, ValueError):
        raise IdTokenInvalidError("its signature is wrong") from None
    if claims.get("iss") != expected.issuer:
        raise IdTokenInvalidError("it is of another issuer")
    _check_audience(claims, expected.client_id)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not compare_digest(nonce.encode(), expected.nonce.encode()):
        raise IdTokenInvalidError("it was not given for this sign-in")
    _check_times(claims, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH or "\0" in subject:
        raise IdTokenInvalidError("it names nobody")
    return claims


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise IdTokenInvalidError("it is for another client")
    party = claims.get("azp")
    if (len(audiences) > 1 or party is not None) and party != client_id:
        raise IdTokenInvalidError("it was given to another client")


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    issued_at, expires_at = _moment(claims, "iat"), _moment(claims, "exp")
    if now >= expires_at + _LEEWAY:
        raise IdTokenInvalidError("it has expired")
    if now < issued_at - _LEEWAY or ("nbf" in claims and now < _moment(claims, "nbf") - _LEEWAY):
        raise IdTokenInvalidError("it is not valid yet")
    if now > issued_at + _MAX_AGE:
        raise IdTokenInvalidError("it is too old")


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise IdTokenInvalidError(f"its claim {name} is missing or malformed")


def lacks_claims(settings: OidcSettings, claims: Mapping[str, Any]) -> bool:
    """Tell whether the user information must be asked for what the token does not say."""
    wanted = {"email", *([settings.groups_claim] if settings.groups_claim else [])}
    return not _username(settings, claims) or not wanted <= claims.keys()


def read_identity(settings: OidcSettings, issuer: str, claims: Mapping[str, Any]) -> ExternalIdentity:
    """Return the user of verified claims; the name is what an account of it may be called."""
    groups = _groups(settings, claims)
    kept = tuple(
        ExternalGroup(name)
        for name in groups
        if settings.group_filter is None or settings.group_filter.search(name)
    )
    return ExternalIdentity(
        OIDC,
        f"{claims['sub']}{issuer}",
        _username(settings, claims),
        _text(claims, "email"),
        _text(claims, "name"),
        kept,
        bool(settings.admin_group) and settings.admin_group in groups,
    )


def _username(settings: OidcSettings, claims: Mapping[str, Any]) -> str:
    found = (_text(claims, name) for name in settings.user_claims)
    return next((text.strip().replace(" ", "_") for text in found if text.strip()), "")


def _groups(settings: OidcSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get(settings.groups_claim) if settings.groups_claim else None
    names = value if isinstance(value, list) else [value]
    texts = (name for name in names if isinstance(name, str) and 0 < len(name) <= _MAX_GROUP_LENGTH)
    return tuple(dict.fromkeys(texts))[:MAX_GROUPS]


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
