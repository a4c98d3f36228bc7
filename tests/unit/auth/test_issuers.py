import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.issuer import DISCOVERY, KEYS, Issuer, Reply, send, send_json

from homeport.auth.issuers import (
    MAX_DOCUMENT_BYTES,
    IssuerKeys,
    IssuerSettings,
    IssuerUnusableError,
    check_issuer,
    fetch_keys,
    parse_keys,
    select_key,
)

pytestmark = pytest.mark.anyio

LOCAL = IssuerSettings((ip_network("127.0.0.0/8"),), allows_http=True)
PUBLIC_ONLY = IssuerSettings()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Run a token issuer."""
    with Issuer() as issuer:
        yield issuer


class Monotonic:
    """A clock that goes only when it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time that it shows."""
        return self.now


async def test_keys_are_fetched_by_discovery(issuer: Issuer) -> None:
    keys = await fetch_keys(issuer.url, LOCAL)
    assert [(key.kid, key.algorithms) for key in keys] == [("first", frozenset({"ES256"}))]
    assert issuer.asked == [DISCOVERY, KEYS]


def redirect(handler: BaseHTTPRequestHandler) -> None:
    """Send the client elsewhere."""
    send(handler, 302, b"", Location="/elsewhere")


def huge(handler: BaseHTTPRequestHandler) -> None:
    """Send more than is read."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(4 * MAX_DOCUMENT_BYTES // 65_536):
            handler.wfile.write(b" " * 65_536)
    except OSError:
        return


def slow(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.2)
    except OSError:
        return


def compressed(handler: BaseHTTPRequestHandler) -> None:
    """Send what says that it is compressed."""
    send(handler, 200, b"\x1f\x8b\x08\x00", **{"Content-Encoding": "gzip"})


def document(content: Any) -> Reply:
    """Return what sends the document."""
    return lambda handler: send_json(handler, content)


BAD: list[tuple[str, str, Reply]] = [
    ("discovery redirects", DISCOVERY, redirect),
    ("keys redirect", KEYS, redirect),
    ("discovery is huge", DISCOVERY, huge),
    ("keys are huge", KEYS, huge),
    ("keys are compressed", KEYS, compressed),
    ("discovery is no JSON", DISCOVERY, lambda handler: send(handler, 200, b"<html>")),
    ("discovery is a list", DISCOVERY, document([])),
    ("discovery is deep", DISCOVERY, lambda handler: send(handler, 200, b"[" * 100_000)),
    ("discovery fails", DISCOVERY, lambda handler: send(handler, 500, b"{}")),
    ("no keys", KEYS, document({"keys": []})),
    ("keys of another kind", KEYS, document({"keys": [OctKey.generate_key(256).as_dict()]})),
    ("too many keys", KEYS, document({"keys": [{}] * 65})),
    ("keys are an object", KEYS, document({"keys": {}})),
]


@pytest.mark.parametrize(("case", "path", "reply"), BAD, ids=[case for case, _, _ in BAD])
async def test_issuer_that_answers_wrongly_is_unusable(
    issuer: Issuer, case: str, path: str, reply: Reply
) -> None:
    del case
    issuer.replies[path] = reply
    with pytest.raises(IssuerUnusableError):
        await fetch_keys(issuer.url, LOCAL)


async def test_issuer_that_is_slow_is_given_up(issuer: Issuer) -> None:
    issuer.replies[KEYS] = slow
    began = time.monotonic()
    with pytest.raises(IssuerUnusableError):
        await fetch_keys(issuer.url, LOCAL)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://10.0.0.1/keys",
        "https://[::1]/keys",
        "https://[::ffff:10.0.0.1]/keys",
        "https://[64:ff9b::a00:1]/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "//127.0.0.1/keys",
        "keys",
        "https://",
        "",
        7,
        None,
    ],
)
async def test_keys_are_not_fetched_from_where_they_must_not_be(issuer: Issuer, uri: object) -> None:
    issuer.replies[DISCOVERY] = document({"issuer": issuer.url, "jwks_uri": uri})
    with pytest.raises(IssuerUnusableError):
        await fetch_keys(issuer.url, LOCAL)
    assert issuer.asked == [DISCOVERY]


async def test_discovery_of_another_issuer_is_refused(issuer: Issuer) -> None:
    issuer.replies[DISCOVERY] = document({**issuer.discovery(), "issuer": "https://issuer.example"})
    with pytest.raises(IssuerUnusableError, match="another issuer"):
        await fetch_keys(issuer.url, LOCAL)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "127.1"])
async def test_private_issuer_is_never_connected_to(issuer: Issuer, host: str) -> None:
    url = issuer.url.replace("http://127.0.0.1", f"https://{host}")
    for settings in (PUBLIC_ONLY, IssuerSettings((ip_network("10.0.0.0/8"),), allows_http=True)):
        with pytest.raises(IssuerUnusableError, match=r"private|allowed|canonical"):
            await fetch_keys(url, settings)
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", True),  # configured
        ("192.168.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:192.168.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("2002:c0a8:1::", False),
        ("64:ff9b::c0a8:1", False),
        ("nonsense", False),
    ],
)
def test_addresses_are_public_or_configured(address: str, allowed: bool) -> None:  # noqa: FBT001 - a table
    assert IssuerSettings((ip_network("10.0.0.0/8"),)).allows(address) == allowed


def test_plain_http_is_for_this_machine_and_when_allowed() -> None:
    check_issuer("http://127.0.0.1:8000", LOCAL, is_asked=True)
    for url, settings in (("http://127.0.0.1:8000", PUBLIC_ONLY), ("http://issuer.example", LOCAL)):
        with pytest.raises(IssuerUnusableError, match="https://"):
            check_issuer(url, settings, is_asked=True)


def test_issuer_whose_keys_are_known_need_not_be_a_url() -> None:
    check_issuer("kubernetes/serviceaccount", PUBLIC_ONLY, is_asked=False)
    for text in ("", "a" * 513, "a\nb"):
        with pytest.raises(IssuerUnusableError):
            check_issuer(text, PUBLIC_ONLY, is_asked=False)


def test_keys_are_used_for_their_own_algorithms_only() -> None:
    keys: list[RSAKey | ECKey | OKPKey] = [
        RSAKey.generate_key(2048, {"kid": "rsa"}),
        ECKey.generate_key("P-384", {"kid": "ec"}),
        OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    ]
    parsed = parse_keys({"keys": [key.as_dict(private=False) for key in keys]})
    assert {key.kid: sorted(key.algorithms) for key in parsed} == {
        "rsa": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "ec": ["ES384"],
        "ed": ["Ed25519", "EdDSA"],
    }
    assert select_key(parsed, "rsa", "ES384") is None
    assert select_key(parsed, "ec", "HS256") is None
    assert select_key(parsed, None, "ES384") is parsed[1]
    assert select_key((*parsed, parsed[1]), None, "ES384") is None


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_keys_that_are_weak_private_or_for_encryption_are_left_out() -> None:
    good = ECKey.generate_key("P-256", {"kid": "good"})
    weak = RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)
    encrypting = {**ECKey.generate_key("P-256").as_dict(private=False), "use": "enc"}
    limited = {**ECKey.generate_key("P-256").as_dict(private=False), "alg": "ES512"}
    parsed = parse_keys(
        {
            "keys": [
                weak,
                encrypting,
                limited,
                7,
                {"kty": ["RSA"]},
                {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
                good.as_dict(private=True),
            ]
        }
    )
    assert [key.kid for key in parsed] == ["good"]
    assert not parsed[0].key.is_private


async def test_keys_are_kept_and_asked_for_again_when_a_new_one_appears(issuer: Issuer) -> None:
    clock = Monotonic()
    keys = IssuerKeys(LOCAL, clock)
    for _ in range(5):
        assert await keys.find(issuer.url, "first", "ES256") is not None
    assert issuer.asked.count(KEYS) == 1

    issuer.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    assert await keys.find(issuer.url, "second", "ES256") is None
    clock.now += 16
    assert await keys.find(issuer.url, "second", "ES256") is not None
    assert await keys.find(issuer.url, "first", "ES256") is None
    assert issuer.asked.count(KEYS) == 2


async def test_tokens_cannot_make_the_issuer_be_asked_often(issuer: Issuer) -> None:
    keys = IssuerKeys(LOCAL, Monotonic())
    for number in range(20):
        assert await keys.find(issuer.url, f"made-up-{number}", "ES256") is None
    assert issuer.asked.count(KEYS) == 1


async def test_keys_outlive_an_issuer_that_is_down_for_an_hour(issuer: Issuer) -> None:
    clock = Monotonic()
    keys = IssuerKeys(LOCAL, clock)
    await keys.find(issuer.url, "first", "ES256")
    issuer.replies[KEYS] = lambda handler: send(handler, 503, b"")
    clock.now += 1800
    assert await keys.find(issuer.url, "first", "ES256") is not None
    clock.now += 1801
    with pytest.raises(IssuerUnusableError):
        await keys.find(issuer.url, "first", "ES256")
