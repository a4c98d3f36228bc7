import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import delete
from tests.unit.auth.house import SERVICE, TTL, House

from homeport.auth.access_tokens import (
    MAX_TOKEN_BYTES,
    AccessTokens,
    TokenAudience,
    TokenSubject,
)
from homeport.auth.errors import TokenInvalidError
from homeport.auth.grants import Grants
from homeport.db.schema import signing_key
from homeport.oci.scope import MAX_SCOPES
from homeport.rules.permissions import ALL_ACTIONS, RepositoryAction

pytestmark = pytest.mark.anyio

ALICE = TokenSubject("alice", 7, "fingerprint")
NOBODY = TokenSubject("", None, "")
GRANTS = Grants({"library/nginx": frozenset({RepositoryAction.PULL})})


async def issue(house: House, subject: TokenSubject = ALICE, grants: Grants = GRANTS) -> str:
    text, _token = await house.tokens.issue(subject, grants)
    return text


async def refusal(house: House, token: str) -> str:
    with pytest.raises(TokenInvalidError) as caught:
        await house.tokens.verify(token.encode())
    assert house.tokens.verify_cached(token.encode()) is None
    assert not token or token not in f"{caught.value} {caught.value.hint}"
    return str(caught.value)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _signature = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(text + "==")) for text in (header, claims)]
    return read[0], read[1]


async def forge(house: House, changes: dict[str, object]) -> str:
    """Return a token signed by the right key whose claims are changed; None leaves one out."""
    signing = await house.keys.signing_key()
    header, good_claims = parts(await issue(house))
    changed = {name: value for name, value in {**good_claims, **changes}.items() if value is not None}
    return jwt.encode(header, changed, signing.key, algorithms=["ES256"])


async def test_access_token_says_what_it_was_issued_for(house: House) -> None:
    text, issued = await house.tokens.issue(ALICE, GRANTS)

    verified = await house.tokens.verify(text.encode())

    assert (verified.subject, verified.grants) == (ALICE, GRANTS)
    assert (verified.token_id, verified.issued_at) == (issued.token_id, house.clock())


async def test_access_token_has_dockers_claims(house: House) -> None:
    header, claims = parts(await issue(house))

    kid = (await house.keys.signing_key()).kid
    assert header == {"alg": "ES256", "kid": kid, "typ": "JWT"}
    now = int(house.clock().timestamp())
    token_id = claims.pop("jti")
    assert len(token_id) >= 16
    assert claims == {
        "iss": SERVICE,
        "sub": "alice",
        "aud": SERVICE,
        "exp": now + 1800,
        "nbf": now,
        "iat": now,
        "access": [{"type": "repository", "name": "library/nginx", "actions": ["pull"]}],
        "homeport_user": {"id": 7, "pwd": "fingerprint"},
    }


async def test_anonymous_access_token_names_nobody(house: House) -> None:
    token = await issue(house, NOBODY, Grants())

    assert parts(token)[1]["sub"] == ""
    assert (await house.tokens.verify(token.encode())).subject == NOBODY


async def test_access_token_is_verified_once_and_then_cached(house: House) -> None:
    token = (await issue(house)).encode()
    assert house.tokens.verify_cached(token) is None

    verified = await house.tokens.verify(token)

    assert house.tokens.verify_cached(token) is verified
    assert await house.tokens.verify(token) is verified


async def test_access_token_expires_in_the_cache_too(house: House) -> None:
    token = await issue(house)
    await house.tokens.verify(token.encode())

    house.clock.turn(TTL + timedelta(seconds=29))
    assert house.tokens.verify_cached(token.encode()) is not None
    house.clock.turn(timedelta(seconds=1))
    assert "expired" in await refusal(house, token)


async def test_access_token_is_valid_on_other_workers(house: House, other_house: House) -> None:
    token = await issue(house)

    assert (await other_house.tokens.verify(token.encode())).subject == ALICE


async def test_access_token_outlives_the_rotation_of_its_key(house: House, other_house: House) -> None:
    old = await issue(house)
    await house.keys.rotate()
    new = await issue(other_house)

    assert parts(old)[0]["kid"] != parts(new)[0]["kid"]
    for worker in (house, other_house):
        for token in (old, new):
            assert (await worker.tokens.verify(token.encode())).subject == ALICE


async def test_access_token_of_a_deleted_key_is_refused_at_once(house: House, other_house: House) -> None:
    token = await issue(house)
    await other_house.tokens.verify(token.encode())

    await house.database.write(lambda connection: connection.execute(delete(signing_key)).rowcount)

    assert "not known here" in await refusal(other_house, token)


async def test_unsigned_access_token_is_refused(house: House) -> None:
    header, claims = parts(await issue(house))
    for algorithm in ("none", "None", "NONE", ""):
        unsigned = f"{segment({**header, 'alg': algorithm})}.{segment(claims)}."
        assert "malformed" in await refusal(house, unsigned)
    header.pop("alg")
    assert "malformed" in await refusal(house, f"{segment(header)}.{segment(claims)}.")


async def test_access_token_signed_with_the_public_key_as_a_secret_is_refused(house: House) -> None:
    signing = await house.keys.signing_key()
    header, claims = parts(await issue(house))
    public = signing.key.public_key
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.X962, PublicFormat.UncompressedPoint),
    ):
        secret = public.public_bytes(encoding, form)
        signed = f"{segment({**header, 'alg': 'HS256'})}.{segment(claims)}"
        signature = hmac.digest(secret, signed.encode(), "sha256")
        token = f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
        assert "malformed" in await refusal(house, token)


async def test_access_token_of_another_key_is_refused(house: House) -> None:
    header, claims = parts(await issue(house))
    other_curve = ECKey.generate_key("P-384")
    rsa = RSAKey.generate_key(2048)
    for algorithm, key in (("ES256", ECKey.generate_key("P-256")), ("ES384", other_curve), ("RS256", rsa)):
        token = jwt.encode({**header, "alg": algorithm}, claims, key, algorithms=[algorithm])
        assert "malformed" in await refusal(house, token)


async def test_access_token_that_brings_its_own_key_is_refused(house: House) -> None:
    _header, claims = parts(await issue(house))
    key = ECKey.generate_key("P-256")
    own = {"alg": "ES256", "typ": "JWT", "jwk": key.as_dict(private=False)}
    for header in (own, {**own, "kid": key.thumbprint()}, {**own, "jku": "https://evil.example/keys"}):
        token = jwt.encode(header, claims, key, algorithms=["ES256"])
        assert await refusal(house, token)


@pytest.mark.parametrize("kid", ["unknown", "", "../../etc/passwd", "' OR 1=1 --", "x" * 400, 7, None, []])
async def test_access_token_of_an_unknown_key_is_refused(sqlite_house: House, kid: object) -> None:
    header, claims = parts(await issue(sqlite_house))
    header["kid"] = kid
    token = f"{segment(header)}.{segment(claims)}.{segment('signature')}"
    assert await refusal(sqlite_house, token)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "other"}, "meant for another"),
        ({"aud": ["homeport", "other"]}, "meant for another"),
        ({"aud": None}, "meant for another"),
        ({"iss": "other"}, "issued by another"),
        ({"iss": None}, "issued by another"),
        ({"exp": None}, "'exp'"),
        ({"exp": "9999999999"}, "'exp'"),
        ({"exp": 1e300}, "'exp'"),
        ({"exp": 10**30}, "'exp'"),
        ({"exp": -1}, "'exp'"),
        ({"exp": True}, "'exp'"),
        ({"exp": 1}, "expired"),
        ({"nbf": None}, "'nbf'"),
        ({"nbf": 253402300000}, "not valid yet"),
        ({"iat": None}, "'iat'"),
        ({"iat": 253402300000}, "not valid yet"),
        ({"jti": None}, "'jti'"),
        ({"sub": None}, "'sub'"),
        ({"sub": 7}, "'sub'"),
        ({"sub": ""}, "no subject"),
        ({"homeport_user": None}, "no subject"),
        ({"homeport_user": {"id": 7}}, "no subject"),
        ({"homeport_user": {"id": "7", "pwd": "fingerprint"}}, "no subject"),
        ({"homeport_user": [7, "fingerprint"]}, "no subject"),
        ({"access": None}, "'access'"),
        ({"access": "repository:library/nginx:pull"}, "'access'"),
    ],
)
async def test_access_token_with_a_wrong_claim_is_refused(
    sqlite_house: House, claims: dict[str, object], reason: str
) -> None:
    assert reason in await refusal(sqlite_house, await forge(sqlite_house, claims))


async def test_access_token_of_another_service_with_the_same_keys_is_refused(house: House) -> None:
    other = AccessTokens(house.keys, TokenAudience("homeport", "robots", TTL), house.clock)
    token, _issued = await other.issue(ALICE, GRANTS)

    assert "meant for another" in await refusal(house, token)


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"x": "y" * 5000}]
)
async def test_access_token_with_an_odd_header_is_refused(
    sqlite_house: House, header: dict[str, object]
) -> None:
    key = (await sqlite_house.keys.signing_key()).key.private_key
    assert key is not None
    good_header, claims = parts(await issue(sqlite_house))
    signed = f"{segment({**good_header, **header})}.{segment(claims)}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).decode().rstrip("=")
    assert await refusal(sqlite_house, f"{signed}.{signature}")


async def test_access_token_with_a_nested_header_is_refused(sqlite_house: House) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    _header, claims = parts(await issue(sqlite_house))
    assert await refusal(sqlite_house, f"{deep}.{segment(claims)}.AAAA")


async def test_access_token_that_is_too_long_is_refused_unread(sqlite_house: House) -> None:
    assert "too long" in await refusal(sqlite_house, "x" * (MAX_TOKEN_BYTES + 1))


async def test_largest_access_token_is_accepted(house: House) -> None:
    names = [f"{number:02}{'n' * 253}" for number in range(MAX_SCOPES - 1)]
    grants = Grants(dict.fromkeys(names, ALL_ACTIONS), may_list_catalog=True)

    token = await issue(house, ALICE, grants)

    assert len(token) <= MAX_TOKEN_BYTES
    assert (await house.tokens.verify(token.encode())).grants == grants


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b.c", "a.b", "\0", "é.é.é", "null.null.null"])
async def test_text_that_is_no_access_token_is_refused(sqlite_house: House, text: str) -> None:
    assert await refusal(sqlite_house, text)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), replacement=st.binary(max_size=3), cut=st.integers(0, 4))
async def test_changed_access_token_is_refused(
    sqlite_house: House, position: int, replacement: bytes, cut: int
) -> None:
    token = (await issue(sqlite_house)).encode()
    at = position % len(token)
    changed = token[:at] + replacement + token[at + cut :]
    if changed == token or _same_signature(changed, token):
        return
    with pytest.raises(TokenInvalidError):
        await sqlite_house.tokens.verify(changed)


def _same_signature(changed: bytes, token: bytes) -> bool:
    """Tell whether only bits that base64 does not use differ."""
    signed, _, signature = changed.rpartition(b".")
    good_signed, _, good_signature = token.rpartition(b".")
    return signed == good_signed and signature[:-1] == good_signature[:-1]


async def test_access_tokens_differ_each_time(house: House) -> None:
    assert len({parts(await issue(house))[1]["jti"] for _ in range(20)}) == 20
