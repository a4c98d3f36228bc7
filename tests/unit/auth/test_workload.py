import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy import Connection
from tests.unit.auth.house import ADDRESS, FACTS, House, basic, bearer

from homeport.auth.errors import AuthenticationError, IdentityTokenInvalidError
from homeport.auth.issuers import IssuerKeys, IssuerSettings
from homeport.auth.password_login import PasswordLogin
from homeport.auth.secret import Secret
from homeport.auth.token_service import TokenRequest
from homeport.auth.workload import WorkloadLogin, is_identity_token
from homeport.db.robots import NewRobot, StoredTrust, add_robot, add_trust, delete_trust
from homeport.rules.permissions import AuthMethod
from homeport.rules.robots import ClaimPattern

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example"
NAME = "robot$ci"
Key = RSAKey | ECKey | OKPKey


def token_of(house: House, key: Key, algorithm: str, **change: Any) -> str:
    now = int(house.clock().timestamp())
    claims = {"iss": ISSUER, "sub": "job", "aud": "homeport", "iat": now, "exp": now + 300, **change}
    return jwt.encode({"alg": algorithm, "kid": key.kid}, claims, key, algorithms=[algorithm])


async def trusting(house: House, *keys: Key) -> StoredTrust:
    """Make a robot that trusts these keys, and let the house sign workloads in."""
    workloads = WorkloadLogin(house.database, house.accounts, IssuerKeys(IssuerSettings()), house.clock)
    login = PasswordLogin(house.database, house.accounts, house.passwords, house.clock, workloads=workloads)
    house.login = login
    house.authenticator._login = login  # noqa: SLF001 - as the composition root passes it
    house.service._login = login  # noqa: SLF001 - as above
    jwks = json.dumps({"keys": [key.as_dict(private=False) for key in keys]})

    def make(connection: Connection) -> StoredTrust:
        new = NewRobot("ci", "", None, False, -1, None, "user", 1)
        robot_id = add_robot(connection, new, house.clock())
        assert robot_id is not None
        claims = (ClaimPattern("sub", ("job",)),)
        return add_trust(
            connection, StoredTrust(0, robot_id, ISSUER, "homeport", claims, jwks, house.clock())
        )

    return await house.database.write(make)


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
)
async def test_algorithms_of_public_keys_are_accepted(sqlite_house: House, algorithm: str) -> None:
    key: Key
    match algorithm[:2]:
        case "ES":
            curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
            key = ECKey.generate_key(curve, {"kid": "k"})
        case "Ed":
            key = OKPKey.generate_key("Ed25519", {"kid": "k"})
        case _:
            key = RSAKey.generate_key(2048, {"kid": "k"})
    await trusting(sqlite_house, key)
    token = Secret(token_of(sqlite_house, key, algorithm))
    workload = await sqlite_house.login.sign_in_workload(token, "", ADDRESS)
    assert (workload.account.username, workload.subject, workload.issuer) == (NAME, "job", ISSUER)


async def test_password_of_a_workload_holds_as_long_as_its_token(house: House) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k"})
    await trusting(house, key)
    header = basic(NAME, token_of(house, key, "ES256"))
    await house.authenticator.authenticate(header, ADDRESS)
    authentication = await house.authenticator.authenticate(header, ADDRESS)
    assert authentication.principal.auth_method is AuthMethod.WORKLOAD
    house.clock.turn(timedelta(seconds=331))
    assert await house.recall(header) is None
    with pytest.raises(IdentityTokenInvalidError, match="expired"):
        await house.authenticator.authenticate(header, ADDRESS)


async def test_registry_token_of_a_workload_ends_with_its_rule(house: House, other_house: House) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k"})
    rule = await trusting(house, key)
    token = Secret(token_of(house, key, "ES256"))
    given = await house.service.answer_exchange(token, "", TokenRequest(), FACTS)
    header = bearer(given.access_token)
    house.clock.turn(timedelta(minutes=10))
    assert (await other_house.authenticator.authenticate(header, ADDRESS)).principal.name == NAME
    await house.database.write(delete_trust, rule.robot_id, rule.id)
    with pytest.raises(AuthenticationError):
        await other_house.authenticator.authenticate(header, ADDRESS)


@pytest.mark.parametrize(("late_s", "is_let_in"), [(329, True), (330, False)])
async def test_clocks_may_differ_by_half_a_minute(sqlite_house: House, late_s: int, is_let_in: bool) -> None:  # noqa: FBT001 - a table
    key = ECKey.generate_key("P-256", {"kid": "k"})
    await trusting(sqlite_house, key)
    token = Secret(token_of(sqlite_house, key, "ES256"))
    sqlite_house.clock.turn(timedelta(seconds=late_s))
    try:
        await sqlite_house.login.sign_in_workload(token, "", ADDRESS)
    except IdentityTokenInvalidError:
        assert not is_let_in
    else:
        assert is_let_in


async def test_password_that_looks_like_a_token_stays_the_password_of_a_user(sqlite_house: House) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k"})
    await trusting(sqlite_house, key)
    password = token_of(sqlite_house, key, "ES256", aud="elsewhere")
    await sqlite_house.add_user("alice", password)
    account = await sqlite_house.login.sign_in("alice", Secret(password), ADDRESS)
    assert account.username == "alice"


def test_identity_token_is_known_by_its_shape() -> None:
    assert is_identity_token("eyJ" + "a" * 200 + ".b.c")
    for text in ("", "eyJ.b.c", "a" * 200 + ".b.c", "eyJ" + "a" * 200, "eyJ" + "a" * 200 + ".b.c.d"):
        assert not is_identity_token(text)
