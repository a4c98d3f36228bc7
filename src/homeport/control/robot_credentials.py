"""What robots sign in with: two overlapping secrets, and trust rules for workloads."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from homeport.auth.clock import Clock, utc_now
from homeport.auth.issuers import IssuerSettings, check_issuer, parse_keys
from homeport.auth.secret import Secret
from homeport.control.changes import Change, record_change
from homeport.control.errors import BadRequestError, ConflictError, NotFoundError
from homeport.control.robots import Robots, RobotView, check_grants, require_robot, robot_target
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.robots import (
    StoredSecret,
    StoredTrust,
    add_secret,
    add_trust,
    count_trusts,
    delete_secret,
    delete_trust,
    end_secret,
    read_permissions,
    read_secrets,
    read_trusts,
)
from homeport.errors import HomeportError
from homeport.rules.permissions import Principal
from homeport.rules.robots import (
    MAX_OVERLAP_HOURS,
    MAX_SECRETS,
    ClaimPattern,
    check_claim_patterns,
)

MAX_TRUSTS = 20
MAX_CLAIMS = 20
MAX_PATTERN = 512
MAX_JWKS = 64 * 1024


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """A trust rule as it is asked for; `jwks` holds the issuer's keys where it cannot be asked for them."""

    issuer: str
    audience: str
    claims: tuple[ClaimPattern, ...]
    jwks: dict[str, Any] | None = None


class RobotCredentials:
    """Rotates and revokes secrets and keeps trust rules; asks for the right to update the robot.

    Who may not grant all that the robot has may not sign it in either. Raises as `Robots` does.
    """

    def __init__(
        self, database: Database, robots: Robots, issuers: IssuerSettings, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._robots = robots
        self._issuers = issuers
        self._clock = clock

    async def refresh_secret(
        self, principal: Principal, actor: Actor, robot_id: int, given: Secret | None, overlap_hours: float
    ) -> Secret:
        """Give the robot a new secret, the given or a generated one, and return it.

        Those that it had go on for `overlap_hours`, at most two at a time; without any they end now.
        """
        if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
            raise BadRequestError("the overlap is not valid", hint=f"use 0 to {MAX_OVERLAP_HOURS} hours")
        secret, secret_hash = await self._robots.prepare_secret(given)
        overlap = timedelta(hours=overlap_hours)

        def refresh(connection: Connection) -> None:
            view = _require(connection, principal, robot_id)
            now = self._clock()
            self._outdate(connection, robot_id, now, overlap)
            add_secret(connection, robot_id, secret_hash, now)
            after = {"overlap_hours": overlap_hours}
            record_change(connection, actor, Change("refresh_robot_secret", robot_target(view), after=after))

        await self._database.write(refresh)
        return secret

    def _outdate(self, connection: Connection, robot_id: int, now: datetime, overlap: timedelta) -> None:
        """End the secrets at the end of the overlap; all but the newest of them now."""
        old = read_secrets(connection, robot_id)
        goes_on = old[-(MAX_SECRETS - 1) :] if overlap else []
        for secret in old:
            if secret in goes_on:
                end_secret(connection, secret.id, now + overlap)
            else:
                delete_secret(connection, robot_id, secret.id)

    async def list_secrets(self, principal: Principal, robot_id: int) -> list[StoredSecret]:
        """Return the robot's secrets that have not ended, the oldest first."""

        def read(connection: Connection) -> list[StoredSecret]:
            require_robot(connection, principal, robot_id, "read")
            now = self._clock()
            found = read_secrets(connection, robot_id)
            return [secret for secret in found if secret.expires_at is None or secret.expires_at > now]

        return await self._database.read(read)

    async def revoke_secret(self, principal: Principal, actor: Actor, robot_id: int, secret_id: int) -> None:
        """End one secret now, and every token that was given for it."""

        def revoke(connection: Connection) -> None:
            view = _require(connection, principal, robot_id)
            if not delete_secret(connection, robot_id, secret_id):
                raise NotFoundError(f"the robot has no secret {secret_id}")
            before = {"secret_id": secret_id}
            record_change(connection, actor, Change("revoke_robot_secret", robot_target(view), before=before))

        await self._database.write(revoke)

    async def list_trusts(self, principal: Principal, robot_id: int) -> list[StoredTrust]:
        """Return the robot's trust rules."""

        def read(connection: Connection) -> list[StoredTrust]:
            require_robot(connection, principal, robot_id, "read")
            return read_trusts(connection, robot_id)

        return await self._database.read(read)

    async def add_trust(
        self, principal: Principal, actor: Actor, robot_id: int, request: TrustRequest
    ) -> StoredTrust:
        """Let the workloads that the rule describes act as the robot."""
        self._check_trust(request)

        def add(connection: Connection) -> StoredTrust:
            view = _require(connection, principal, robot_id)
            if count_trusts(connection, robot_id) >= MAX_TRUSTS:
                raise ConflictError(f"the robot has {MAX_TRUSTS} trust rules already")
            jwks = None if request.jwks is None else json.dumps(request.jwks)
            rule = StoredTrust(
                0, robot_id, request.issuer, request.audience, request.claims, jwks, self._clock()
            )
            added = add_trust(connection, rule)
            after = describe_trust(added)
            record_change(connection, actor, Change("create_robot_trust", robot_target(view), after=after))
            return added

        return await self._database.write(add)

    async def delete_trust(self, principal: Principal, actor: Actor, robot_id: int, trust_id: int) -> None:
        """Delete a trust rule; tokens that workloads got by it end now."""

        def remove(connection: Connection) -> None:
            view = _require(connection, principal, robot_id)
            rule = next((each for each in read_trusts(connection, robot_id) if each.id == trust_id), None)
            if rule is None:
                raise NotFoundError(f"the robot has no trust rule {trust_id}")
            delete_trust(connection, robot_id, trust_id)
            before = describe_trust(rule)
            record_change(connection, actor, Change("delete_robot_trust", robot_target(view), before=before))

        await self._database.write(remove)

    def _check_trust(self, request: TrustRequest) -> None:
        try:
            check_issuer(request.issuer, self._issuers, is_asked=request.jwks is None)
            check_claim_patterns(request.claims)
        except HomeportError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        if not 0 < len(request.audience) <= 255 or not request.audience.isprintable():  # noqa: PLR2004 - the column
            raise BadRequestError("the audience is empty, too long or not printable")
        if len(request.claims) > MAX_CLAIMS or any(
            len(text) > MAX_PATTERN for claim in request.claims for text in (claim.path, *claim.patterns)
        ):
            raise BadRequestError("the claims are too many or too long")
        if request.jwks is not None:
            _check_jwks(request.jwks)


def describe_trust(rule: StoredTrust) -> dict[str, Any]:
    """Return what audit records keep of a trust rule."""
    return {
        "id": rule.id,
        "issuer": rule.issuer,
        "audience": rule.audience,
        "claims": {claim.path: list(claim.patterns) for claim in rule.claims},
        "has_jwks": rule.jwks is not None,
    }


def _require(connection: Connection, principal: Principal, robot_id: int) -> RobotView:
    view = require_robot(connection, principal, robot_id, "update")
    check_grants(connection, principal, read_permissions(connection, robot_id))
    return view


def _check_jwks(jwks: dict[str, Any]) -> None:
    if len(json.dumps(jwks)) > MAX_JWKS:
        raise BadRequestError("the keys are too long")
    try:
        parse_keys(jwks)
    except HomeportError as error:
        raise BadRequestError(str(error), hint=error.hint) from error
