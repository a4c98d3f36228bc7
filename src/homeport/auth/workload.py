"""Workload identity: tokens of other issuers, exchanged for what a robot may do; no secret is stored."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from sqlalchemy import Connection

from homeport.auth.accounts import Account, Accounts, trust_fingerprint
from homeport.auth.clock import Clock, utc_now
from homeport.auth.errors import IdentityTokenInvalidError
from homeport.auth.issuers import IssuerKey, IssuerKeys, IssuerUnusableError, parse_keys, select_key
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.robots import StoredTrust, find_robot_by_login, find_trusts_of_issuer
from homeport.rules.robots import claims_match

ANY_ROBOT = "oidc"
MAX_TOKEN_BYTES = 16 * 1024
ALGORITHMS = frozenset(
    {
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
        "Ed25519",
    }
)

_LEEWAY = timedelta(seconds=30)
_MIN_TOKEN_LENGTH = 129  # secrets of robots are shorter
_MAX_TIMESTAMP = 253_402_300_799
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload whose identity token was right: the robot that it acts as, and who it is at its issuer."""

    account: Account
    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a token says of itself before anything was verified."""

    issuer: str
    algorithm: str
    kid: str | None


def is_identity_token(text: str) -> bool:
    """Tell whether a password is a signed token by its looks (JWS compact serialization)."""
    return len(text) >= _MIN_TOKEN_LENGTH and text.startswith("eyJ") and text.count(".") == _PARTS - 1


class WorkloadLogin:
    """Checks identity tokens against the trust rules of robots.

    Only issuers that a rule names are ever asked for keys. A token stands for the one robot whose rule it
    meets; when it meets the rules of several, the robot must be named.
    """

    def __init__(
        self, database: Database, accounts: Accounts, keys: IssuerKeys, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._keys = keys
        self._clock = clock

    async def knows(self, robot_name: str) -> bool:
        """Tell whether identity tokens can come with that user name: a robot's, or the one for any."""
        return (
            robot_name == ANY_ROBOT or await self._database.read(find_robot_by_login, robot_name) is not None
        )

    async def sign_in(self, token: Secret, robot_name: str = "") -> Workload:
        """Return the workload and its robot; an empty name leaves it to the trust rules which one.

        The account holds while the token does. Raises IdentityTokenInvalidError.
        """
        text = token.reveal()
        name = "" if robot_name == ANY_ROBOT else robot_name
        if len(text) > MAX_TOKEN_BYTES:
            raise IdentityTokenInvalidError("it is too long", account=name)
        try:
            return await self._sign_in(text, name)
        except IdentityTokenInvalidError as error:
            error.account = robot_name
            raise

    async def _sign_in(self, text: str, robot_name: str) -> Workload:
        claimed = _read_unverified(text)
        rules = await self._database.read(_find_rules, claimed.issuer, robot_name)
        if not rules:
            raise IdentityTokenInvalidError("no robot trusts its issuer")
        claims, verified = await self._verify(text, claimed, rules)
        expires_at = _check_times(claims, self._clock())
        if claims.get("iss") != claimed.issuer:
            raise IdentityTokenInvalidError("it was issued by another issuer")
        matching = [rule for rule in verified if _has_audience(claims, rule.audience)]
        if not matching:
            raise IdentityTokenInvalidError("its audience is another one")
        matching = [rule for rule in matching if claims_match(rule.claims, claims)]
        if not matching:
            raise IdentityTokenInvalidError("no trust rule matches its claims")
        account = await self._account(matching)
        ends = min(expires_at, account.valid_until or expires_at)
        subject = claims.get("sub")
        return Workload(
            replace(account, valid_until=ends, is_workload=True),
            claimed.issuer,
            "".join(filter(str.isprintable, subject)) if isinstance(subject, str) else "",
        )

    async def _account(self, rules: list[StoredTrust]) -> Account:
        found: dict[int, Account] = {}
        for rule in rules:
            robot = await self._accounts.find_robot(rule.robot_id)
            account = robot.signed_in(trust_fingerprint(rule), self._clock()) if robot else None
            if account is not None:
                found.setdefault(rule.robot_id, account)
        if not found:
            raise IdentityTokenInvalidError("the robot is disabled or has expired")
        if len(found) > 1:
            raise IdentityTokenInvalidError("several robots trust it", hint="name the robot")
        return next(iter(found.values()))

    async def _verify(
        self, text: str, claimed: _Claimed, rules: list[StoredTrust]
    ) -> tuple[Mapping[str, Any], list[StoredTrust]]:
        """Return the claims, and the rules by whose keys the token is right.

        Keys that stand in a rule count for that rule alone.
        """
        claims: Mapping[str, Any] | None = None
        verified: list[StoredTrust] = []
        asked: dict[str, Any] = {}
        for rule in rules:
            if rule.jwks is None:
                if "claims" not in asked:
                    asked["claims"] = _decode(text, claimed, await self._fetched_key(claimed))
                decoded = asked["claims"]
            else:
                keys = parse_keys(orjson.loads(rule.jwks))
                decoded = _decode(text, claimed, select_key(keys, claimed.kid, claimed.algorithm))
            if decoded is not None:
                claims = decoded
                verified.append(rule)
        if claims is None:
            raise IdentityTokenInvalidError("its signature is wrong or its key unknown")
        return claims, verified

    async def _fetched_key(self, claimed: _Claimed) -> IssuerKey | None:
        try:
            return await self._keys.find(claimed.issuer, claimed.kid, claimed.algorithm)
        except IssuerUnusableError as error:
            raise IdentityTokenInvalidError(str(error), hint=error.hint) from error


def _find_rules(connection: Connection, issuer: str, robot_name: str) -> list[StoredTrust]:
    rules = find_trusts_of_issuer(connection, issuer)
    if not robot_name:
        return rules
    robot = find_robot_by_login(connection, robot_name)
    return [rule for rule in rules if robot is not None and rule.robot_id == robot.id]


def _decode(text: str, claimed: _Claimed, key: IssuerKey | None) -> Mapping[str, Any] | None:
    """Return the claims when the key's signature is right, else None."""
    if key is None:
        return None
    try:
        claims = jwt.decode(text, key.key, algorithms=[claimed.algorithm]).claims
    except (JoseError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _read_unverified(text: str) -> _Claimed:
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise IdentityTokenInvalidError("it is no signed token")
    header, payload = _read_part(parts[0]), _read_part(parts[1])
    algorithm, issuer, kid = header.get("alg"), payload.get("iss"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise IdentityTokenInvalidError("its algorithm is not accepted")
    if "crit" in header or not isinstance(kid, str | None):
        raise IdentityTokenInvalidError("its header is not accepted")
    if not isinstance(issuer, str) or not issuer or "\0" in issuer:
        raise IdentityTokenInvalidError("it names no issuer")
    return _Claimed(issuer, algorithm, kid)


def _read_part(part: str) -> dict[str, Any]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise IdentityTokenInvalidError("it is malformed")
    return content


def _has_audience(claims: Mapping[str, Any], wanted: str) -> bool:
    audience = claims.get("aud")
    return wanted in audience if isinstance(audience, list) else audience == wanted


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """Return the token's end; raises IdentityTokenInvalidError outside its times."""
    expires_at = _moment(claims, "exp")
    if expires_at is None:
        raise IdentityTokenInvalidError("it never expires")
    if now >= expires_at + _LEEWAY:
        raise IdentityTokenInvalidError("it has expired")
    for name in ("nbf", "iat"):
        moment = _moment(claims, name)
        if moment is not None and now < moment - _LEEWAY:
            raise IdentityTokenInvalidError("it is not valid yet")
    return expires_at + _LEEWAY


def _moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_TIMESTAMP:
        raise IdentityTokenInvalidError(f"its claim {name!r} is malformed")
    return datetime.fromtimestamp(value, tz=UTC)
