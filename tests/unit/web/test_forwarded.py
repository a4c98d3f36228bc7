"""What proxies say is believed only when they are trusted."""

import ipaddress
from typing import Any

import pytest

from homeport.web.forwarded import Forwarding

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def scope(client: str) -> dict[str, Any]:
    return {"client": (client, 4711), "scheme": "http", "server": ("10.1.1.1", 8080)}


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.2", None, "10.0.0.2"),
        ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "203.0.113.9, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.2", "spoofed, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "203.0.113.9, garbage", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
    ],
)
def test_client_address_is_the_nearest_untrusted_one(
    client: str, forwarded: str | None, expected: str
) -> None:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode()}

    assert Forwarding(PROXIES, "").client_address(scope(client), headers) == expected


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        ("192.0.2.1", {b"host": b"reg.example:8080"}, "http://reg.example:8080"),
        ("192.0.2.1", {b"host": b"[::1]:8080"}, "http://[::1]:8080"),
        ("192.0.2.1", {b"host": b"reg.example", b"x-forwarded-proto": b"https"}, "http://reg.example"),
        ("10.0.0.2", {b"host": b"reg.example", b"x-forwarded-proto": b"https"}, "https://reg.example"),
        (
            "10.0.0.2",
            {b"host": b"inner", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"outer.example"},
            "https://outer.example",
        ),
        ("192.0.2.1", {b"host": b'evil",error="x'}, "http://localhost"),
        ("192.0.2.1", {b"host": b"a b"}, "http://localhost"),
        ("10.0.0.2", {b"host": b"reg.example", b"x-forwarded-proto": b"javascript"}, "http://localhost"),
        ("192.0.2.1", {}, "http://10.1.1.1:8080"),
    ],
)
def test_base_url_is_what_the_client_used(client: str, headers: dict[bytes, bytes], expected: str) -> None:
    assert Forwarding(PROXIES, "").base_url(scope(client), headers) == expected


def test_external_url_wins_over_the_request() -> None:
    forwarding = Forwarding(PROXIES, "https://registry.example.com")

    assert forwarding.base_url(scope("10.0.0.2"), {b"host": b"x"}) == "https://registry.example.com"


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("192.0.2.1", "for=203.0.113.9", "192.0.2.1"),
        ("10.0.0.2", "for=203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "For=203.0.113.9;proto=https;by=10.0.0.2", "203.0.113.9"),
        ("10.0.0.2", 'for="203.0.113.9:4711"', "203.0.113.9"),
        ("10.0.0.2", 'for="[2001:db8::7]"', "2001:db8::7"),
        ("10.0.0.2", 'for="[2001:db8::7]:4711"', "2001:db8::7"),
        ("10.0.0.2", "for=198.51.100.1, for=203.0.113.9, for=10.0.0.3", "203.0.113.9"),
        ("10.0.0.2", "for=198.51.100.1, for=_hidden", "10.0.0.2"),
        ("10.0.0.2", "for=unknown", "10.0.0.2"),
        ("10.0.0.2", "proto=https", "10.0.0.2"),
        ("10.0.0.2", ';;,,="=', "10.0.0.2"),
    ],
)
def test_client_address_is_read_from_the_standard_header(client: str, forwarded: str, expected: str) -> None:
    headers = {b"forwarded": forwarded.encode()}

    assert Forwarding(PROXIES, "").client_address(scope(client), headers) == expected


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("192.0.2.1", "host=outer.example;proto=https", "http://inner"),
        ("10.0.0.2", "host=outer.example;proto=https", "https://outer.example"),
        ("10.0.0.2", 'host="outer.example:8443";proto=HTTPS', "https://outer.example:8443"),
        ("10.0.0.2", "for=203.0.113.9;proto=https", "https://inner"),
        ("10.0.0.2", 'host="a b"', "http://localhost"),
        ("10.0.0.2", "proto=javascript", "http://localhost"),
    ],
)
def test_base_url_is_read_from_the_standard_header(client: str, forwarded: str, expected: str) -> None:
    headers = {b"host": b"inner", b"forwarded": forwarded.encode()}

    assert Forwarding(PROXIES, "").base_url(scope(client), headers) == expected


def test_standard_header_is_ignored_beside_an_older_one() -> None:
    headers = {b"host": b"inner", b"x-forwarded-for": b"203.0.113.9", b"forwarded": b"for=1.1.1.1;host=evil"}
    forwarding = Forwarding(PROXIES, "")

    assert forwarding.client_address(scope("10.0.0.2"), headers) == "203.0.113.9"
    assert forwarding.base_url(scope("10.0.0.2"), headers) == "http://inner"
