"""Bad input in bodies: cut, slow, endless; what arrived of an upload is kept, nothing else is."""

import time
from dataclasses import dataclass, replace

import pytest
from tests.conformance.aftermath import memory_bytes, unharmed
from tests.conformance.conftest import BODY_TIMEOUT_S, VICTIM, registry_of
from tests.conformance.content import (
    ABSENT,
    CONFIG,
    IMAGE,
    OCI_CONFIG,
    OCI_MANIFEST,
    digest_of,
    encode,
    random_bytes,
)
from tests.conformance.wire import Answer, Chunked, Headers, Registry, Wire, encode_head
from tests.servers import HomeportServer

CONTENT = random_bytes(200_000, 42)
DIGEST = digest_of(CONTENT)
UPLOADS = f"/v2/{VICTIM}/blobs/uploads/"
OTHER = "hostile/other"
BLOB_TARGET = f"/v2/{VICTIM}/blobs/{DIGEST}"
MANIFEST = f"/v2/{VICTIM}/manifests/bad"
TYPED: Headers = (("Content-Type", OCI_MANIFEST),)
SENT = 70_000
LIMIT = 4 * 1024 * 1024
CHUNKED: Headers = (("Transfer-Encoding", "chunked"),)


def start(registry: Registry) -> str:
    """Begin an upload and return its location."""
    answer = registry.ask_as_admin("POST", UPLOADS)
    assert answer.status == 202
    return answer.header("Location") or ""


@dataclass(frozen=True, slots=True)
class Part:
    """A request whose body does not come whole; `kept` is how much of it an upload keeps."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    kept: int = 0

    def send(self, wire: Wire, registry: Registry) -> None:
        """Send head and part of the body as the administrator."""
        headers = (("Host", wire.host), *registry.admin, *self.headers)
        wire.send(encode_head(self.method, self.target, headers) + self.body)


def wait_for_size(registry: Registry, location: str, size: int) -> None:
    """Wait until the upload has this size."""
    deadline = time.monotonic() + 10
    answer: Answer | None = None
    while time.monotonic() < deadline:
        answer = registry.ask_as_admin("GET", location)
        if answer.status == 204 and answer.header("Range") == f"0-{size - 1}":
            return
        time.sleep(0.02)
    raise AssertionError(answer)


ANNOUNCED: Headers = (("Content-Length", str(len(CONTENT))),)
PART = CONTENT[:SENT]
FRAMED = b"%x\r\n%b\r\n" % (SENT, PART)
CUTS = {
    "announced": (ANNOUNCED, PART),
    "chunked": (CHUNKED, FRAMED),
    "inside a chunk": (CHUNKED, b"30d40\r\n" + PART),
}


@pytest.mark.parametrize("framing", CUTS)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("ending", ["closed", "half-closed", "reset"])
def test_cut_upload_keeps_what_arrived_and_goes_on(
    hostile: Registry, framing: str, method: str, ending: str
) -> None:
    location = start(hostile)
    target = location if method == "PATCH" else f"{location}?digest={DIGEST}"
    with hostile.connect() as wire:
        Part(method, target, *CUTS[framing]).send(wire, hostile)
        if ending == "half-closed":
            wire.half_close()
            answer = wire.receive_or_close(method)
            assert answer is None or 400 <= answer.status < 500
        elif ending == "reset":
            time.sleep(0.2)
            wire.reset()
    wait_for_size(hostile, location, SENT)
    assert hostile.ask_as_admin("HEAD", BLOB_TARGET).status == 404
    rest = CONTENT[SENT:]
    more: Headers = (("Content-Range", f"{SENT}-{len(CONTENT) - 1}"),)
    assert hostile.ask_as_admin("PATCH", location, more, rest).status == 202
    assert hostile.ask_as_admin("PUT", f"{location}?digest={ABSENT}").status == 400
    assert hostile.ask_as_admin("HEAD", BLOB_TARGET).status == 404


def test_cut_upload_resumed_is_the_blob(hostile_server: HomeportServer) -> None:
    registry = registry_of(hostile_server)
    location = registry.ask_as_admin("POST", f"/v2/{OTHER}/blobs/uploads/").header("Location") or ""
    with registry.connect() as wire:
        Part("PATCH", location, ANNOUNCED, PART).send(wire, registry)
    wait_for_size(registry, location, SENT)
    more: Headers = (("Content-Range", f"{SENT}-{len(CONTENT) - 1}"),)
    assert registry.ask_as_admin("PUT", f"{location}?digest={DIGEST}", more, CONTENT[SENT:]).status == 201
    assert registry.ask_as_admin("GET", f"/v2/{OTHER}/blobs/{DIGEST}").body == CONTENT


@pytest.mark.parametrize("framing", CUTS)
def test_cut_single_post_leaves_nothing(hostile: Registry, framing: str) -> None:
    with hostile.connect() as wire:
        Part("POST", f"{UPLOADS}?digest={DIGEST}", *CUTS[framing]).send(wire, hostile)
        time.sleep(0.1)
    assert hostile.ask_as_admin("HEAD", BLOB_TARGET).status == 404


@pytest.mark.parametrize("headers", [(("Content-Length", "5000"),), CHUNKED], ids=["announced", "chunked"])
def test_cut_manifest_leaves_nothing(hostile: Registry, headers: Headers) -> None:
    part = IMAGE.content if headers != CHUNKED else b"%x\r\n%b\r\n" % (len(IMAGE.content), IMAGE.content)
    with hostile.connect() as wire:
        Part("PUT", MANIFEST, (*TYPED, *headers), part).send(wire, hostile)
        time.sleep(0.1)
    assert hostile.ask_as_admin("GET", MANIFEST).status == 404


def test_cut_form_is_no_sign_in(hostile: Registry) -> None:
    form: Headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "500"))
    with hostile.connect() as wire:
        Part("POST", "/service/token", form, b"grant_type=password&username=admin").send(wire, hostile)
        wire.half_close()
        answer = wire.receive_or_close("POST")
        assert answer is None or answer.status == 400


STALLS = {
    "PATCH announced": Part("PATCH", "{location}", ANNOUNCED, PART, SENT),
    "PATCH chunked": Part("PATCH", "{location}", CHUNKED, FRAMED, SENT),
    "PATCH without a byte": Part("PATCH", "{location}", ANNOUNCED),
    "PUT": Part("PUT", "{location}?digest=" + DIGEST, ANNOUNCED, PART, SENT),
    "single POST": Part("POST", f"{UPLOADS}?digest={DIGEST}", ANNOUNCED, PART),
    "manifest announced": Part("PUT", MANIFEST, (*TYPED, *ANNOUNCED), IMAGE.content[:100]),
    "manifest chunked": Part("PUT", MANIFEST, (*TYPED, *CHUNKED), b"5\r\nhello\r\n"),
}


@pytest.mark.parametrize("about", STALLS)
def test_stalled_body_is_given_up(hostile: Registry, about: str) -> None:
    location = start(hostile)
    part = replace(STALLS[about], target=STALLS[about].target.format(location=location))
    with hostile.connect(timeout_s=BODY_TIMEOUT_S + 5) as wire:
        began = time.monotonic()
        part.send(wire, hostile)
        answer = wire.receive_or_close(part.method)
        assert BODY_TIMEOUT_S - 0.5 < time.monotonic() - began < BODY_TIMEOUT_S + 1.5
        assert answer is None or answer.status == 408, answer
    if part.kept:
        wait_for_size(hostile, location, part.kept)
    assert hostile.ask_as_admin("DELETE", location).status == 204
    assert hostile.ask_as_admin("HEAD", BLOB_TARGET).status == 404


def test_slow_body_that_goes_on_is_taken(hostile: Registry) -> None:
    location = start(hostile)
    with hostile.connect() as wire:
        Part("PATCH", location, (("Content-Length", "6"),), b"").send(wire, hostile)
        for _ in range(6):
            time.sleep(BODY_TIMEOUT_S / 4)
            wire.send(b"x")
        assert wire.receive("PATCH").status == 202
    assert hostile.ask_as_admin("DELETE", location).status == 204


def test_many_stalled_bodies_leave_room_for_others(hostile: Registry) -> None:
    wires = [hostile.connect() for _ in range(100)]
    try:
        for wire in wires:
            Part("PUT", MANIFEST, (*TYPED, *ANNOUNCED), b"{").send(wire, hostile)
        began = time.monotonic()
        assert hostile.ask_as_admin("GET", f"/v2/{VICTIM}/manifests/latest").status == 200
        assert time.monotonic() - began < BODY_TIMEOUT_S
        assert all(
            answer is None or answer.status == 408 for answer in (w.receive_or_close("PUT") for w in wires)
        )
    finally:
        for wire in wires:
            wire.socket.close()


@pytest.mark.parametrize("length", [LIMIT + 1, 10**9, 10**18])
def test_huge_manifest_is_refused_before_it_comes(hostile: Registry, length: int) -> None:
    with hostile.connect(timeout_s=10) as wire:
        headers: Headers = (*TYPED, ("Content-Length", str(length)))
        began = time.monotonic()
        Part("PUT", MANIFEST, headers, b"").send(wire, hostile)
        answer = wire.receive("PUT")
        assert answer.status == 413
        assert answer.codes() == ["MANIFEST_INVALID"]
        if length > 2 * LIMIT:
            assert time.monotonic() - began < 1


def test_endless_manifest_is_cut_off(hostile_server: HomeportServer) -> None:
    registry = registry_of(hostile_server)
    part = b"%x\r\n%b\r\n" % (65_536, b" " * 65_536)
    before = memory_bytes(hostile_server)
    with unharmed(hostile_server), registry.connect() as wire:
        Part("PUT", MANIFEST, (*TYPED, *CHUNKED), b"").send(wire, registry)
        for _ in range(1000):
            if not wire.try_send(part):
                break
        answer = wire.receive_or_close("PUT")
        assert answer is None or answer.status == 413
    assert memory_bytes(hostile_server) - before < 64 * 1024 * 1024


def test_endless_form_is_cut_off(hostile: Registry) -> None:
    form: Headers = (("Content-Type", "application/x-www-form-urlencoded"), *CHUNKED)
    part = b"%x\r\n%b\r\n" % (65_536, b"a" * 65_536)
    with hostile.connect() as wire:
        Part("POST", "/service/token", form, b"").send(wire, hostile)
        for _ in range(300):
            if not wire.try_send(part):
                break
        answer = wire.receive_or_close("POST")
        assert answer is None or answer.status == 413


def layers(count: int) -> bytes:
    """Return a manifest with this many layers that are not there."""
    entries = [
        {"mediaType": "x", "digest": f"sha256:{number:064x}", "size": 1} for number in range(1, count + 1)
    ]
    return encode({"schemaVersion": 2, "config": CONFIG.descriptor(OCI_CONFIG), "layers": entries}).replace(
        b"\n", b""
    )


@pytest.mark.parametrize(
    ("about", "body"),
    [
        ("4 MiB of brackets", b"[" * LIMIT),
        ("4 MiB of nested objects", (b'{"a":' * (LIMIT // 5))[:LIMIT]),
        ("4 MiB of one text", b'"' + b"x" * (LIMIT - 2) + b'"'),
        ("4 MiB of digits", b'{"schemaVersion":' + b"9" * (LIMIT - 20) + b"}"),
        ("4 MiB of zeros after the point", b'{"schemaVersion":2.' + b"0" * (LIMIT - 30) + b"}"),
        ("4 MiB of white space", b" " * LIMIT),
        ("4 MiB of one member", b"{" + b'"a":1,' * (LIMIT // 6 - 10) + b'"schemaVersion":2}'),
        ("4 MiB of escapes", b'{"a":"' + b"\\u0041" * (LIMIT // 6 - 10) + b'"}'),
        ("an exponent", b'{"schemaVersion":2e999999999}'),
        ("12000 layers that are not there", layers(12_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_costly_manifest_is_refused_quickly(hostile: Registry, about: str, body: bytes) -> None:
    del about
    assert len(body) <= LIMIT
    began = time.monotonic()
    answer = hostile.ask_as_admin("PUT", MANIFEST, TYPED, body)
    assert time.monotonic() - began < 5
    assert answer.status == 400
    assert set(answer.codes()) <= {"MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}
    assert len(answer.body) < LIMIT


def test_refused_large_upload_gets_its_answer(hostile: Registry) -> None:
    """The client reads the refusal although the server has not read the body."""
    answer = hostile.ask("PUT", MANIFEST, TYPED, b"x" * 3_000_000)
    assert answer.status == 401
    answer = hostile.ask_as_admin(
        "PATCH", f"{UPLOADS}00000000-0000-0000-0000-000000000000", (), b"x" * 3_000_000
    )
    assert answer.status == 404


def test_chunk_that_differs_from_its_range_is_refused(hostile: Registry) -> None:
    location = start(hostile)
    for length in (0, 1, 99, 101, 5000):
        send: Headers = (("Content-Range", "0-99"),)
        answer = hostile.ask_as_admin("PATCH", location, send, b"x" * length)
        assert answer.status == 400
        assert answer.codes() == ["SIZE_INVALID"]
        assert hostile.ask_as_admin("GET", location).header("Range") == "0-0"
    assert hostile.ask_as_admin("DELETE", location).status == 204


@pytest.mark.parametrize("length", [1, 99, 101, 5000])
def test_chunk_of_unannounced_length_that_differs_from_its_range_is_refused(
    hostile: Registry, length: int
) -> None:
    location = start(hostile)
    send: Headers = (("Content-Range", "0-99"),)
    answer = hostile.ask_as_admin("PATCH", location, send, Chunked((b"x" * length,)))
    assert answer.status == 400
    assert answer.codes() == ["SIZE_INVALID"]
    size = int((hostile.ask_as_admin("GET", location).header("Range") or "").partition("-")[2]) + 1
    assert size <= 100
    assert hostile.ask_as_admin("DELETE", location).status == 204
