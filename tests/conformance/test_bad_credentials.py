"""Bad input in credentials: forged, foreign, expired and garbled tokens open nothing and harm nothing."""

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from tests.conformance.conftest import LOGINS, VICTIM, registry_of
from tests.conformance.tokens import TokenClient, bearer, claims_of
from tests.conformance.wire import Answer, Registry, basic
from tests.servers import HomeportServer

from homeport.auth.access_tokens import AccessTokens, TokenAudience, TokenSubject
from homeport.auth.grants import Grants
from homeport.auth.sealing import Sealer, load_instance_secret
from homeport.auth.signing_keys import SigningKeys
from homeport.db.engine import open_database
from homeport.rules.permissions import RepositoryAction

MANIFEST = f"/v2/{VICTIM}/manifests/latest"
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture(scope="module")
def valid_token(hostile_server: HomeportServer) -> str:
    """Return a token that opens the victim, to be spoilt."""
    return TokenClient(registry_of(hostile_server)).token(f"repository:{VICTIM}:*")


def issue(server: HomeportServer, audience: TokenAudience, age: timedelta) -> str:
    """Return a token signed with the server's own key, but for another audience or of another time."""

    async def sign() -> str:
        database = open_database(f"sqlite:///{server.data / 'homeport.db'}", server.data / "run")
        await database.open()
        try:
            keys = SigningKeys(database, Sealer(load_instance_secret(server.data / "secrets", None)))
            tokens = AccessTokens(keys, audience, lambda: datetime.now(UTC) - age)
            grants = Grants({VICTIM: frozenset(RepositoryAction)})
            return (await tokens.issue(TokenSubject("", None, ""), grants))[0]
        finally:
            await database.close()

    return asyncio.run(sign())


def encode_part(value: object) -> str:
    """Return a part of a token."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a token."""
    part = token.split(".", maxsplit=1)[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return header


def forge(token: str) -> Iterator[tuple[str, str]]:
    """Yield wrong tokens made from a valid one, each with what is wrong."""
    header, claims = header_of(token), claims_of(token)
    head, payload, signature = token.split(".")
    own = ECKey.generate_key("P-256")
    yield "no signature", f"{head}.{payload}."
    yield "no dots", token.replace(".", "")
    yield "one part more", f"{token}.x"
    yield "another signature", f"{head}.{payload}.{'A' * len(signature)}"
    yield "a signature of no base64", f"{head}.{payload}.***"
    yield "the first half", token[: len(token) // 2]
    yield "twice", token + token
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        yield f"algorithm {algorithm}", f"{encode_part(header | {'alg': algorithm})}.{payload}."
        yield (
            f"algorithm {algorithm}, signed",
            f"{encode_part(header | {'alg': algorithm})}.{payload}.{signature}",
        )
    yield "another user", f"{head}.{encode_part(claims | {'sub': 'root'})}.{signature}"
    yield "a later end", f"{head}.{encode_part(claims | {'exp': claims['exp'] + 99999})}.{signature}"
    yield "another key", jwt.encode(header, claims, own, algorithms=["ES256"])
    yield "another key, no kid", jwt.encode({"alg": "ES256"}, claims, own, algorithms=["ES256"])
    yield "a shared secret", jwt.encode({**header, "alg": "HS256"}, claims, OctKey.import_key(b"x" * 32))
    yield "the empty secret", jwt.encode({**header, "alg": "HS256"}, claims, OctKey.import_key(b"\0" * 32))
    yield (
        "RSA",
        jwt.encode({**header, "alg": "RS256"}, claims, RSAKey.generate_key(2048), algorithms=["RS256"]),
    )
    inside = {**header, "jwk": own.as_dict(private=False)}
    yield "its own key inside", f"{encode_part(inside)}.{payload}.{signature}"
    for kid in ("../../secrets/instance.key", "x" * 20_000, "' OR 1=1 --", "\0", 7, None, ["a"], {"a": 1}):
        yield f"kid {str(kid)[:20]}", f"{encode_part(header | {'kid': kid})}.{payload}.{signature}"
    yield "a critical header", f"{encode_part(header | {'crit': ['x'], 'x': 1})}.{payload}.{signature}"
    yield "compressed", f"{encode_part(header | {'zip': 'DEF'})}.{payload}.{signature}"
    yield "a list for a header", f"{encode_part([1])}.{payload}.{signature}"
    yield "a list for claims", f"{head}.{encode_part([1])}.{signature}"
    yield "deep claims", f"{head}.{encode_part(b'[' * 30_000 + b']' * 30_000)}.{signature}"
    yield "a deep header", f"{encode_part(b'[' * 10_000 + b']' * 10_000)}.{payload}.{signature}"
    yield "claims of no JSON", f"{head}.{encode_part(bytes([255] * 50))}.{signature}"
    yield "five parts", f"{token}.{payload}.{signature}"


def is_refused(answer: Answer) -> bool:
    """Tell whether the answer is the challenge for a wrong token."""
    return answer.status == 401 and 'error="invalid_token"' in (answer.header("WWW-Authenticate") or "")


def test_forged_tokens_open_nothing(hostile: Registry, valid_token: str) -> None:
    assert hostile.ask("GET", MANIFEST, bearer(valid_token)).status == 200
    for about, token in forge(valid_token):
        for target in (MANIFEST, "/v2/", "/v2/_catalog"):
            answer = hostile.ask("GET", target, bearer(token))
            assert is_refused(answer), (about, target, answer)
    assert hostile.ask("GET", MANIFEST, bearer(valid_token)).status == 200


def test_token_of_the_server_is_good_as_issued(hostile_server: HomeportServer) -> None:
    token = issue(hostile_server, TokenAudience("homeport", "homeport", HALF_AN_HOUR), timedelta())
    assert registry_of(hostile_server).ask("GET", "/v2/", bearer(token)).status == 200


@pytest.mark.parametrize(
    ("about", "audience", "age"),
    [
        ("expired", TokenAudience("homeport", "homeport", HALF_AN_HOUR), timedelta(minutes=45)),
        ("expired long ago", TokenAudience("homeport", "homeport", HALF_AN_HOUR), timedelta(days=365)),
        ("not valid yet", TokenAudience("homeport", "homeport", HALF_AN_HOUR), timedelta(hours=-2)),
        ("another service", TokenAudience("homeport", "elsewhere", HALF_AN_HOUR), timedelta()),
        ("another issuer", TokenAudience("elsewhere", "homeport", HALF_AN_HOUR), timedelta()),
        ("no service", TokenAudience("homeport", "", HALF_AN_HOUR), timedelta()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_token_out_of_place_or_time_opens_nothing(
    hostile_server: HomeportServer, about: str, audience: TokenAudience, age: timedelta
) -> None:
    token = issue(hostile_server, audience, age)
    answer = registry_of(hostile_server).ask("GET", MANIFEST, bearer(token))
    assert is_refused(answer), (about, answer)


GARBAGE = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Bearer .",
    "Bearer ..",
    "Bearer ....",
    "Bearer \xff\xfe",
    "Bearer \u00e4.\u00f6.\u00fc",
    "Bearer null",
    "Bearer " + "a" * 10_000,
    "Bearer " + "a" * 50_000,
    "Bearer " + ".".join(["a" * 10_000] * 3),
    "Bearer " + "." * 40_000,
    "bearer x",
    "BEARER x",
    "Bearer x y z",
    "Bearer x, Basic y",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Basic \xff",
    "Basic " + base64.b64encode(b"no colon").decode(),
    "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    "Basic " + "A" * 50_000,
    "Negotiate x",
    "Digest username=admin",
    "AWS4-HMAC-SHA256 x",
    "\xff",
    "x" * 50_000,
]


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: f"{len(value)}:{value[:20]!r}")
def test_garbage_for_credentials_is_challenged(hostile: Registry, value: str) -> None:
    for method, target in (("GET", MANIFEST), ("GET", "/v2/"), ("PUT", MANIFEST), ("GET", "/v2/_catalog")):
        with hostile.connect() as wire:
            answer = wire.ask(method, target, (("Authorization", value),))
            assert answer.status in {401, 431}, answer
            if answer.status == 401:
                assert (answer.header("WWW-Authenticate") or "").startswith("Bearer realm=")


@LOGINS
def test_strange_names_and_passwords_are_wrong_ones(own_tokens: TokenClient) -> None:
    registry = own_tokens.registry
    for user, password in [
        ("admin\0", registry.password),
        ("admin ", registry.password),
        ("ADMIN", registry.password),
        ("admin", registry.password + "\0"),
        ("admin", registry.password + " "),
        ("admin", "x" * 20_000),
        ("\u0430dmin", registry.password),
        ("x" * 10_000, "x"),
        ("' OR 1=1 --", "x"),
    ]:
        answer = registry.ask("GET", "/v2/", (("Authorization", basic(user, password)),))
        assert answer.status in {401, 429}, (user[:20], answer)
    assert registry.ask_as_admin("GET", "/v2/").status == 200


@LOGINS
def test_wrong_passwords_are_slowed_down_on_the_registry_too(own_tokens: TokenClient) -> None:
    send = (("Authorization", basic("slowed", "wrong-password")),)
    answers = [own_tokens.registry.ask("GET", "/v2/", send) for _ in range(30)]
    assert {answer.status for answer in answers} == {401, 429}
    slowed = next(answer for answer in answers if answer.status == 429)
    assert slowed.codes() == ["TOOMANYREQUESTS"]
    assert int(slowed.header("Retry-After") or "") >= 1


printable = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=200
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["Bearer", "bearer", "Token", "Negotiate"]), printable)
def test_any_token_text_is_challenged(hostile: Registry, scheme: str, text: str) -> None:
    answer = hostile.ask("GET", MANIFEST, (("Authorization", f"{scheme} {text}"),))
    assert answer.status == 401, answer


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_token_with_any_changed_character_opens_nothing(
    hostile: Registry, valid_token: str, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(valid_token) - 2))
    character = data.draw(st.sampled_from("ABCabc019-_.=/+~"))
    changed = valid_token[:position] + character + valid_token[position + 1 :]
    if changed == valid_token:
        return
    assert hostile.ask("GET", MANIFEST, bearer(changed)).status == 401
