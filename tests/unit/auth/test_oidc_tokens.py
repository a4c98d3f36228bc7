import base64
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from homeport.auth.issuers import IssuerKey, parse_keys
from homeport.auth.oidc_settings import OidcEndpoint, OidcSettings
from homeport.auth.oidc_tokens import (
    ExpectedToken,
    IdTokenInvalidError,
    lacks_claims,
    read_header,
    read_identity,
    verify_id_token,
)
from homeport.auth.secret import Secret

ISSUER = "https://login.example.org"
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())
EXPECTED = ExpectedToken(ISSUER, "homeport", "the-nonce")
KEY = ECKey.generate_key("P-256", {"kid": "k"})
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "s1",
    "aud": "homeport",
    "iat": STAMP,
    "exp": STAMP + 300,
    "nonce": "the-nonce",
}


def public(key: ECKey | RSAKey) -> IssuerKey:
    return parse_keys({"keys": [key.as_dict(private=False)]})[0]


def token(key: ECKey | RSAKey = KEY, **changes: object) -> str:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
    return jwt.encode({"alg": algorithm, "kid": "k"}, claims, key, algorithms=[algorithm])


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def settings(**changes: Any) -> OidcSettings:
    values: dict[str, Any] = {
        "endpoint": OidcEndpoint(ISSUER),
        "client_id": "homeport",
        "client_secret": Secret("s"),
        "scopes": ("openid",),
        "user_claims": ("preferred_username", "name"),
        "groups_claim": "groups",
        "admin_group": "admins",
        "group_filter": None,
        "onboards": True,
        "extra": {},
    }
    return OidcSettings(**{**values, **changes})


def test_right_token_is_believed() -> None:
    assert verify_id_token(token(), public(KEY), EXPECTED, NOW)["sub"] == "s1"


def test_right_token_for_several_audiences_names_this_client_as_its_party() -> None:
    text = token(aud=["homeport", "other"], azp="homeport")

    assert verify_id_token(text, public(KEY), EXPECTED, NOW)["sub"] == "s1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["homeport", "other"]},
        {"azp": "other"},
        {"aud": ["homeport", "other"], "azp": "other"},
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": 7},
        {"exp": STAMP - 61},
        {"exp": None},
        {"exp": "later"},
        {"exp": True},
        {"exp": 1e300},
        {"iat": None},
        {"iat": STAMP + 120},
        {"iat": STAMP - 3600},
        {"nbf": STAMP + 120},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_token_that_says_something_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IdTokenInvalidError):
        verify_id_token(token(**changes), public(KEY), EXPECTED, NOW)


def test_token_of_another_key_is_refused() -> None:
    other = ECKey.generate_key("P-256", {"kid": "k"})
    for key in (public(other), public(RSAKey.generate_key(2048, {"kid": "k"})), None):
        with pytest.raises(IdTokenInvalidError):
            verify_id_token(token(), key, EXPECTED, NOW)


def test_unsigned_token_is_refused() -> None:
    for algorithm in ("none", "None", "NONE"):
        text = f"{part({'alg': algorithm})}.{part(GOOD)}."
        with pytest.raises(IdTokenInvalidError):
            verify_id_token(text, public(KEY), EXPECTED, NOW)


def test_token_signed_with_the_public_key_as_a_shared_secret_is_refused() -> None:
    rsa = RSAKey.generate_key(2048, {"kid": "k"})
    signed = f"{part({'alg': 'HS256', 'kid': 'k'})}.{part(GOOD)}"
    tag = hmac.digest(rsa.as_pem(private=False), signed.encode(), "sha256")
    text = f"{signed}.{base64.urlsafe_b64encode(tag).decode().rstrip('=')}"

    with pytest.raises(IdTokenInvalidError):
        verify_id_token(text, public(rsa), EXPECTED, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "a.b", "a.b.c", "..", f"{part([])}.x.y", f"{part({'alg': 'ES256', 'crit': ['x']})}.x.y", "é.a.b"],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(IdTokenInvalidError):
        read_header(text)


def test_token_that_is_too_long_is_refused() -> None:
    with pytest.raises(IdTokenInvalidError):
        read_header(token(padding="x" * 70_000))


def test_identity_has_filtered_groups_and_administration_by_all_of_them() -> None:
    claims = {
        **GOOD,
        "preferred_username": "al ice",
        "groups": ["team-a", "admins", 5, "", "x" * 300, "team-a"],
    }

    found = read_identity(settings(group_filter=re.compile("^team")), ISSUER, claims)

    assert (found.username, found.external_id, found.is_admin) == ("al_ice", f"s1{ISSUER}", True)
    assert [group.name for group in found.groups or ()] == ["team-a"]


@pytest.mark.parametrize("groups", [None, {}, 7, [["admins"]], {"admins": True}])
def test_groups_of_another_shape_are_none(groups: object) -> None:
    found = read_identity(settings(), ISSUER, {**GOOD, "name": "a", "groups": groups})

    assert (found.groups, found.is_admin) == ((), False)


def test_single_group_may_be_a_text() -> None:
    found = read_identity(settings(), ISSUER, {**GOOD, "name": "a", "groups": "admins"})

    assert found.is_admin


def test_empty_admin_group_makes_nobody_an_administrator() -> None:
    found = read_identity(settings(admin_group=""), ISSUER, {**GOOD, "groups": [""]})

    assert not found.is_admin


def test_missing_claims_are_noticed() -> None:
    assert lacks_claims(settings(), GOOD)
    assert lacks_claims(settings(), {**GOOD, "name": "a", "email": "a@b"})
    assert not lacks_claims(settings(), {**GOOD, "name": "a", "email": "a@b", "groups": []})
    assert not lacks_claims(settings(groups_claim=""), {**GOOD, "name": "a", "email": "a@b"})
