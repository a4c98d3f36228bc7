import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from tests.issuer import DISCOVERY, KEYS, Issuer, send, send_json

from homeport.auth import oidc_provider
from homeport.auth.authority import ensure_authority, issue_server_certificate
from homeport.auth.oidc_provider import (
    CodeExchange,
    CodeRefusedError,
    OidcProvider,
    ProviderError,
    check_provider_url,
)
from homeport.auth.oidc_settings import OidcEndpoint, OidcSettings
from homeport.auth.secret import Secret

pytestmark = pytest.mark.anyio

EXCHANGE = CodeExchange(Secret("code"), Secret("verifier"), "https://registry.example.org/c/oidc/callback")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Run an issuer that answers as a provider does, until a test says otherwise."""
    with Issuer() as issuer:
        issuer.replies[DISCOVERY] = lambda handler: send_json(handler, discovery(issuer))
        yield issuer


def discovery(issuer: Issuer, **changes: object) -> dict[str, Any]:
    document = {
        **issuer.discovery(),
        "authorization_endpoint": f"{issuer.url}/authorize",
        "token_endpoint": f"{issuer.url}/token",
        "userinfo_endpoint": f"{issuer.url}/userinfo",
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def settings(issuer: Issuer) -> OidcSettings:
    return OidcSettings(
        endpoint=OidcEndpoint(issuer.url),
        client_id="homeport",
        client_secret=Secret("s: %"),
        scopes=("openid",),
        user_claims=("name",),
        groups_claim="",
        admin_group="",
        group_filter=None,
        onboards=True,
        extra={},
    )


async def test_discovery_and_keys_are_asked_for_once(issuer: Issuer) -> None:
    provider, endpoint = OidcProvider(), OidcEndpoint(issuer.url)

    for _ in range(3):
        assert (await provider.discover(endpoint)).token_url == f"{issuer.url}/token"
        assert await provider.find_key(endpoint, "first", "ES256") is not None

    assert issuer.asked == [DISCOVERY, KEYS]


async def test_unknown_key_is_looked_for_at_most_every_15_seconds(issuer: Issuer) -> None:
    now = [1000.0]
    provider, endpoint = OidcProvider(lambda: now[0]), OidcEndpoint(issuer.url)
    assert await provider.find_key(endpoint, "second", "ES256") is None
    issuer.keys.append(ECKey.generate_key("P-256", {"kid": "second"}))
    for _ in range(5):
        assert await provider.find_key(endpoint, "second", "ES256") is None

    now[0] += 16

    assert await provider.find_key(endpoint, "second", "ES256") is not None
    assert issuer.asked.count(KEYS) == 2


async def test_another_provider_does_not_get_the_keys_of_the_first(issuer: Issuer) -> None:
    provider = OidcProvider()
    assert await provider.find_key(OidcEndpoint(issuer.url), "first", "ES256") is not None
    with Issuer() as other:
        other.keys = [ECKey.generate_key("P-256", {"kid": "theirs"})]
        other.replies[DISCOVERY] = lambda handler: send_json(handler, discovery(other))

        assert await provider.find_key(OidcEndpoint(other.url), "first", "ES256") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://127.0.0.1:9"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": ["https://x"]},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "http://169.254.169.254/latest"},
        {"token_endpoint": "http://[::ffff:169.254.169.254]/latest"},
        {"token_endpoint": "http://user@127.0.0.1/"},
        {"jwks_uri": "http://[::1"},
        {"jwks_uri": "https://" + "x" * 3000},
        {"userinfo_endpoint": "gopher://x"},
    ],
    ids=str,
)
async def test_discovery_that_cannot_be_used_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    issuer.replies[DISCOVERY] = lambda handler: send_json(handler, discovery(issuer, **changes))

    with pytest.raises(ProviderError):
        await OidcProvider().discover(OidcEndpoint(issuer.url))


async def test_provider_with_tls_may_not_name_addresses_without() -> None:
    endpoint = OidcEndpoint("https://login.example.org")
    check_provider_url(endpoint, "https://elsewhere.example.org/token")

    with pytest.raises(ProviderError, match="https"):
        check_provider_url(endpoint, "http://login.example.org/token")


def redirect(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 302, b"", Location="/elsewhere")


def endless(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"{" + b" " * 400_000)


def no_json(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"<html>")


def a_list(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"[]")


def broken(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"no HTTP at all\r\n\r\n")


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/userinfo"])
@pytest.mark.parametrize("reply", [redirect, endless, no_json, a_list, broken])
async def test_answer_that_cannot_be_used_is_refused(issuer: Issuer, path: str, reply: Any) -> None:
    issuer.replies[path] = reply
    provider, endpoint = OidcProvider(), OidcEndpoint(issuer.url)
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        DISCOVERY: lambda: provider.discover(endpoint),
        "/token": lambda: provider.exchange(settings(issuer), EXCHANGE),
        "/userinfo": lambda: provider.read_userinfo(endpoint, Secret("a")),
    }

    with pytest.raises(ProviderError):
        await questions[path]()

    assert "/elsewhere" not in issuer.asked


async def test_certificate_is_checked_against_the_authority(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "authority")
    with Issuer(issue_server_certificate(authority, ["localhost"])) as issuer:
        issuer.replies[DISCOVERY] = lambda handler: send_json(handler, discovery(issuer))
        ca = (tmp_path / "authority" / "ca.crt").read_text()
        by_address = issuer.url.replace("localhost", "127.0.0.1")

        assert (await OidcProvider().discover(OidcEndpoint(issuer.url, ca=ca))).issuer == issuer.url
        assert (await OidcProvider().discover(OidcEndpoint(issuer.url, verifies=False))).issuer == issuer.url
        for endpoint in (OidcEndpoint(issuer.url), OidcEndpoint(by_address, ca=ca)):
            with pytest.raises(ProviderError, match="certificate"):
                await OidcProvider().discover(endpoint)


async def test_provider_that_is_slow_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_provider, "TIMEOUT_S", 0.3)
    issuer.replies[DISCOVERY] = lambda _: time.sleep(2)
    began = time.monotonic()

    with pytest.raises(ProviderError):
        await OidcProvider().discover(OidcEndpoint(issuer.url))

    assert time.monotonic() - began < 2


async def test_code_is_sent_with_verifier_and_encoded_credentials(issuer: Issuer) -> None:
    seen: list[tuple[str, str]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"])).decode()
        seen.append((handler.headers["authorization"], body))
        send_json(handler, {"id_token": "x.y.z", "access_token": 7})

    issuer.replies["/token"] = answer

    tokens = await OidcProvider().exchange(settings(issuer), EXCHANGE)

    assert (tokens.id_token.reveal(), tokens.access_token) == ("x.y.z", None)
    authorization, body = seen[0]
    assert authorization == "Basic aG9tZXBvcnQ6cyUzQSslMjU="
    assert "code_verifier=verifier" in body
    assert "client_secret" not in body


async def test_refused_code_is_told_from_a_provider_that_is_down(issuer: Issuer) -> None:
    issuer.replies["/token"] = lambda handler: send(handler, 400, b'{"error":"invalid_grant"}')

    with pytest.raises(CodeRefusedError):
        await OidcProvider().exchange(settings(issuer), EXCHANGE)
