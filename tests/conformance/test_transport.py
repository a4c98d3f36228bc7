"""Section 0 of the protocol: what clients do to the connection itself."""

import socket
import ssl
import time

import pytest
from tests.conformance.content import (
    BLOB,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE,
    IMAGE_SEED,
    OCI_INDEX,
    OCI_MANIFEST,
    PARTS,
    digest_of,
    random_bytes,
)
from tests.conformance.table import Exam, check_every_answer
from tests.conformance.wire import Headers, encode_head, encode_request

TYPED: Headers = (("Content-Type", OCI_MANIFEST),)


def client_hello() -> bytes:
    """Return the bytes with which a TLS client begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="registry.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_tls_on_the_plain_port_is_refused_and_service_goes_on(exam: Exam) -> None:
    name = exam.shared_repository(IMAGE_SEED)
    for _ in range(3):
        with exam.registry.connect(timeout_s=5) as wire:
            wire.send(client_hello())
            answer = wire.receive_or_close()
            assert answer is None or answer.status == 400
        assert exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest").body == IMAGE.content


def test_one_connection_serves_many_requests(exam: Exam) -> None:
    name = exam.shared_repository((*IMAGE_SEED, BLOB))
    admin = exam.registry.admin
    with exam.registry.connect() as wire:
        for _ in range(50):
            assert wire.ask("GET", f"/v2/{name}/manifests/latest", admin).body == IMAGE.content
            assert wire.ask("HEAD", f"/v2/{name}/blobs/{BLOB.digest}", admin).status == 200
            assert wire.ask("GET", f"/v2/{name}/blobs/{BLOB.digest}", admin).body == BLOB.content
            assert wire.ask("GET", f"/v2/{name}/manifests/absent", admin).status == 404
            assert wire.ask("GET", f"/v2/{name}/manifests/latest").status == 401


def test_connection_survives_a_refused_push(exam: Exam) -> None:
    name = exam.new_repository(PARTS)
    with exam.registry.connect() as wire:
        for body, status in ((b"{}", 400), (IMAGE.content, 201), (b"x" * 100_000, 400), (IMAGE.content, 201)):
            answer = wire.ask("PUT", f"/v2/{name}/manifests/latest", (*exam.registry.admin, *TYPED), body)
            assert answer.status == status


def test_pipelined_requests_are_answered_in_their_order(exam: Exam) -> None:
    name = exam.shared_repository((*IMAGE_SEED, BLOB))
    with exam.registry.connect() as wire:
        headers = (("Host", wire.host), *exam.registry.admin)
        targets = [f"/v2/{name}/blobs/{BLOB.digest}", f"/v2/{name}/manifests/latest", "/v2/"]
        requests = [encode_request("GET", target, headers) for target in targets[:-1]]
        last = encode_request("GET", targets[-1], (*headers, ("Connection", "close")))
        wire.send(b"".join([*requests, last]))
        received = b""
        while part := wire.socket.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 200 ") == 3
    assert received.index(BLOB.content) < received.index(IMAGE.content) < received.index(b"\r\n\r\n{}")


@pytest.mark.parametrize(
    "headers",
    [
        (
            ("Accept", OCI_MANIFEST),
            ("Accept", OCI_INDEX),
            ("Accept", DOCKER_MANIFEST),
            ("Accept", DOCKER_LIST),
        ),
        (("Accept", f"{OCI_MANIFEST},{OCI_INDEX}"), ("Accept", "*/*")),
        tuple(("Accept", f"application/x-{number}") for number in range(20)),
    ],
    ids=lambda headers: str(len(headers)),
)
def test_several_accept_lines_are_one_list(exam: Exam, headers: Headers) -> None:
    name = exam.shared_repository(IMAGE_SEED)
    answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest", headers)
    assert (answer.status, answer.header("Content-Type")) == (200, OCI_MANIFEST)


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_expect_continue_is_honoured(exam: Exam, size: int) -> None:
    content = random_bytes(size, 9)
    name = exam.new_repository()
    location = exam.registry.ask_as_admin("POST", f"/v2/{name}/blobs/uploads/").header("Location") or ""
    with exam.registry.connect() as wire:
        more = (("Content-Length", str(size)), ("Expect", "100-continue"))
        target = f"{location}?digest={digest_of(content)}"
        wire.send(encode_head("PUT", target, (("Host", wire.host), *exam.registry.admin, *more)))
        assert wire.socket.recv(1024).startswith(b"HTTP/1.1 100 ")
        wire.send(content)
        assert wire.receive("PUT").status == 201
    assert exam.registry.ask_as_admin("GET", f"/v2/{name}/blobs/{digest_of(content)}").body == content


def test_expect_continue_of_a_large_refused_body_is_not_invited(exam: Exam) -> None:
    with exam.registry.connect() as wire:
        more = (("Content-Length", str(10**10)), ("Expect", "100-continue"))
        wire.send(encode_head("PATCH", "/v2/conformance/x/blobs/uploads/0", (("Host", wire.host), *more)))
        assert wire.socket.recv(1024).startswith(b"HTTP/1.1 401 ")


def test_http_1_0_client_is_served(exam: Exam) -> None:
    name = exam.shared_repository((*IMAGE_SEED, BLOB))
    with exam.registry.connect() as wire:
        headers = (("Host", wire.host), *exam.registry.admin)
        head = encode_head("GET", f"/v2/{name}/blobs/{BLOB.digest}", headers)
        wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = wire.receive()
        assert (answer.status, answer.body) == (200, BLOB.content)
        assert answer.header("Transfer-Encoding") is None


def test_download_to_a_slow_reader_comes_whole(exam: Exam) -> None:
    content = random_bytes(8_000_000, 10)
    name = exam.new_repository()
    target = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
    assert exam.registry.ask_as_admin("POST", target, (), content).status == 201
    with exam.registry.connect() as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        headers = (("Host", wire.host), *exam.registry.admin)
        wire.send(encode_head("GET", f"/v2/{name}/blobs/{digest_of(content)}", headers))
        time.sleep(1)
        assert wire.receive().body == content


@pytest.mark.parametrize("suffix", ["", "?x=y"])
def test_aborted_downloads_harm_nobody(exam: Exam, suffix: str) -> None:
    content = random_bytes(8_000_000, 11)
    name = exam.new_repository()
    target = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
    assert exam.registry.ask_as_admin("POST", target, (), content).status == 201
    blob = f"/v2/{name}/blobs/{digest_of(content)}{suffix}"
    for range_header in ((), (("Range", "bytes=1-7000000"),)):
        for _ in range(10):
            with exam.registry.connect() as wire:
                wire.send(
                    encode_head("GET", blob, (("Host", wire.host), *exam.registry.admin, *range_header))
                )
                wire.socket.recv(1000)
                wire.reset()
    answer = exam.registry.ask_as_admin("GET", blob)
    check_every_answer("GET", answer, "blob")
    assert answer.body == content
