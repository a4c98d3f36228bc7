"""Bad input in headers and framing: floods, garbage, contradictions; one request never becomes two."""

import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import VICTIM
from tests.conformance.content import BLOB, IMAGE
from tests.conformance.wire import Headers, Registry, Wire, encode_head, encode_request

MANIFEST = f"/v2/{VICTIM}/manifests/latest"
UPLOADS = f"/v2/{VICTIM}/blobs/uploads/"
SMUGGLED = b"GET /v2/smuggled/request/tags/list HTTP/1.1\r\nHost: smuggled\r\n\r\n"


def read_all(wire: Wire, *, wait_s: float = 1.0) -> bytes:
    """Return what the server sends until it closes, or sends nothing for a while."""
    received = b""
    wire.socket.settimeout(wait_s)
    deadline = time.monotonic() + 10 * wait_s
    with suppress(TimeoutError, ConnectionError):
        while time.monotonic() < deadline:
            part = wire.socket.recv(65536)
            if not part:
                break
            received += part
    return received


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all answers in what was received."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


FLOODS: list[tuple[str, Headers]] = [
    ("90 headers", tuple((f"X-{number}", "y") for number in range(90))),
    ("1000 headers", tuple((f"X-{number}", "y") for number in range(1000))),
    ("20000 headers", tuple((f"X-{number}", "y") for number in range(20_000))),
    ("one header of 60 kB", (("X-Long", "y" * 60_000),)),
    ("one header of 500 kB", (("X-Long", "y" * 500_000),)),
    ("one header of 5 MB", (("X-Long", "y" * 5_000_000),)),
    ("a long header name", (("X" * 70_000, "y"),)),
    ("500 Accept lines", tuple(("Accept", f"application/x-{number}") for number in range(500))),
    ("cookies", (("Cookie", "; ".join(f"a{n}=b" for n in range(3000))),)),
    ("a long range", (("Range", "bytes=" + ",".join(f"{n}-{n}" for n in range(8000))),)),
    ("a long condition", (("If-None-Match", ",".join(f'"{n}"' for n in range(8000))),)),
    ("a long user agent", (("User-Agent", "y" * 30_000),)),
    ("a long request id", (("X-Request-Id", "y" * 30_000),)),
]


@pytest.mark.parametrize(("about", "headers"), FLOODS, ids=[about for about, _ in FLOODS])
def test_header_flood_is_answered_or_refused(hostile: Registry, about: str, headers: Headers) -> None:
    del about
    for target in (MANIFEST, f"/v2/{VICTIM}/blobs/{BLOB.digest}"):
        with hostile.connect() as wire:
            wire.send(encode_request("GET", target, (("Host", wire.host), *hostile.admin, *headers)))
            answer = wire.receive_or_close()
            assert answer is None or answer.status in {200, 400, 431}, answer


VALUES = [
    "",
    " ",
    "\x00",
    "\xff\xfe",
    "\u00e4\u00f6",
    "\x7f",
    "\t",
    ",",
    ";",
    '"',
    "a" * 5000,
    "-1",
    "\x0b",
    "%00",
    "null",
]
NAMES = [
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Type",
    "Expect",
    "Forwarded",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Range",
    "Upgrade",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Request-Id",
]


@pytest.mark.parametrize("name", NAMES)
def test_garbage_in_a_header_is_no_server_error(hostile: Registry, name: str) -> None:
    for value in VALUES:
        for target in (MANIFEST, f"/v2/{VICTIM}/blobs/{BLOB.digest}", "/v2/", "/service/token"):
            credentials = () if name == "Authorization" else hostile.admin
            with hostile.connect() as wire:
                host = () if name == "Host" else (("Host", wire.host),)
                wire.send(encode_request("GET", target, (*host, *credentials, (name, value))))
                answer = wire.receive_or_close()
                assert answer is None or answer.status < 500, (target, name, value, answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(NAMES),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80),
)
def test_any_header_text_is_no_server_error(hostile: Registry, name: str, value: str) -> None:
    if name == "Authorization" and value.strip().lower().startswith("basic"):
        return
    credentials = () if name == "Authorization" else hostile.admin
    with hostile.connect() as wire:
        host = () if name == "Host" else (("Host", wire.host),)
        wire.send(encode_request("GET", MANIFEST, (*host, *credentials, (name, value))))
        answer = wire.receive_or_close()
        assert answer is None or answer.status < 500, (name, value, answer)


@pytest.mark.parametrize(
    "lines",
    [
        b"Bad Name: x\r\n",
        b"Bad\x00Name: x\r\n",
        b": x\r\n",
        b"NoColon\r\n",
        b" Folded: x\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\x00b\r\n",
        b"X: a\rb\r\n",
        b"X : a\r\n",
        b"Host: other\r\n",
        b"\xff: x\r\n",
    ],
    ids=repr,
)
def test_malformed_header_line_is_no_server_error(hostile: Registry, lines: bytes) -> None:
    with hostile.connect() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        wire.half_close()
        assert all(status < 500 for status in statuses(read_all(wire)))


FRAMINGS = [
    ("Content-Length: -1", b""),
    ("Content-Length: +5", b"hello"),
    ("Content-Length: 0x5", b"hello"),
    ("Content-Length: 5 5", b"hello"),
    ("Content-Length: 5, 6", b"hello"),
    ("Content-Length: 5\r\nContent-Length: 6", b"hello!"),
    ("Content-Length: 1e3", b"hello"),
    ("Content-Length: " + "9" * 40, b"hello"),
    ("Content-Length: 18446744073709551616", b"hello"),
    ("Content-Length: ", b""),
    ("Content-Length: five", b"hello"),
    ("Transfer-Encoding: gzip", b"hello"),
    ("Transfer-Encoding: identity", b"hello"),
    ("Transfer-Encoding: xchunked", b"0\r\n\r\n"),
    ("Transfer-Encoding: chunked, gzip", b"0\r\n\r\n"),
    ("Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    ("Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
    ("Transfer-Encoding : chunked", b"0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"5\r\nhelloX\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"fffffffffffffff0\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", b"5\nhello\n0\n\n"),
    ("Transfer-Encoding: chunked", b"\r\n\r\n"),
]


@pytest.mark.parametrize(("lines", "body"), FRAMINGS, ids=lambda value: repr(value)[:60])
def test_bad_framing_is_refused_and_hides_no_second_request(
    hostile: Registry, lines: str, body: bytes
) -> None:
    with hostile.connect() as wire:
        head = encode_head("PUT", MANIFEST, (("Host", wire.host), *hostile.admin))
        wire.send(head[:-2] + lines.encode("latin-1") + b"\r\n\r\n" + body + SMUGGLED)
        wire.half_close()
        got = statuses(read_all(wire))
        assert len(got) <= 1, got
        assert all(400 <= status < 500 for status in got), got


BOTH = [
    "Content-Length: {n}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nTransfer-encoding: Chunked",
    "Content-Length: 0\r\nTransfer-Encoding: chunked",
]


@pytest.mark.parametrize("lines", BOTH)
def test_two_framings_at_once_hide_no_second_request(hostile: Registry, lines: str) -> None:
    """The connection ends with the answer (RFC 9112, 6.1), so nothing after the body is ever a request."""
    body = b"0\r\n\r\n" + SMUGGLED
    with hostile.connect() as wire:
        head = encode_head("PUT", MANIFEST, (("Host", wire.host), *hostile.admin))
        wire.send(head[:-2] + lines.format(n=len(body)).encode() + b"\r\n\r\n" + body)
        got = statuses(read_all(wire))
        assert len(got) <= 1, got
        assert all(400 <= status < 500 for status in got), got


def test_body_longer_than_announced_is_no_second_request(hostile: Registry) -> None:
    with hostile.connect() as wire:
        head = encode_head("PUT", MANIFEST, (("Host", wire.host), *hostile.admin, ("Content-Length", "5")))
        wire.send(head + IMAGE.content)
        wire.half_close()
        got = statuses(read_all(wire))
        assert got
        assert all(400 <= status < 500 for status in got), got


def test_body_of_a_refused_request_is_not_read_as_a_request(hostile: Registry) -> None:
    """An unauthorised push whose body looks like a request gets one answer for each real request."""
    with hostile.connect() as wire:
        for _ in range(3):
            answer = wire.ask("PUT", MANIFEST, (), SMUGGLED * 100)
            assert answer.status == 401
        answer = wire.ask("GET", MANIFEST, hostile.admin)
        assert (answer.status, answer.body) == (200, IMAGE.content)


def test_trailers_are_no_headers(hostile: Registry) -> None:
    with hostile.connect() as wire:
        head = encode_head(
            "PUT",
            MANIFEST,
            (("Host", wire.host), ("Transfer-Encoding", "chunked"), ("Trailer", "Authorization")),
        )
        name, value = hostile.admin[0]
        wire.send(head + b"5\r\nhello\r\n0\r\n" + f"{name}: {value}\r\n\r\n".encode())
        assert wire.receive("PUT").status == 401


def test_many_idle_connections_leave_room_for_others(hostile: Registry) -> None:
    wires = [hostile.connect() for _ in range(300)]
    try:
        for wire in wires[:150]:
            wire.send(b"GET /v2/ HTT")
        assert hostile.ask_as_admin("GET", MANIFEST).status == 200
    finally:
        for wire in wires:
            wire.socket.close()


def test_uploads_are_not_listed_by_any_method(hostile: Registry) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "PROPFIND"):
        assert hostile.ask_as_admin(method, UPLOADS).status == 405
