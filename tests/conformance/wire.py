"""A raw HTTP/1.1 client: every byte of a request is the caller's, every byte of an answer is kept."""

import base64
import http.client
import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

TIMEOUT_S = 30.0
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})

Headers = tuple[tuple[str, str], ...]


def basic(user: str, password: str) -> str:
    """Return the Authorization value of Basic credentials."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Chunked:
    """A body that is sent with `Transfer-Encoding: chunked`, one chunk per element."""

    chunks: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the body as it stands on the wire."""
        framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in self.chunks if chunk]
        return b"".join([*framed, b"0\r\n\r\n"])


Body = bytes | Chunked


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return every value of the header, one per line of the answer."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the header's value, lines joined as HTTP does, or None when it is absent."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)

    def codes(self) -> list[str]:
        """Return the codes in an error body, in their order."""
        return [entry["code"] for entry in self.json()["errors"]]


def encode_head(method: str, target: str, headers: Headers) -> bytes:
    """Return request line and headers as they stand on the wire, without adding any."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_request(method: str, target: str, headers: Headers = (), body: Body = b"") -> bytes:
    """Return a whole request; the framing header is added unless the headers already hold one."""
    names = {name.lower() for name, _ in headers}
    framing: Headers = ()
    if not names & {"content-length", "transfer-encoding"}:
        if isinstance(body, Chunked):
            framing = (("Transfer-Encoding", "chunked"),)
        elif body or method in BODY_METHODS:
            framing = (("Content-Length", str(len(body))),)
    content = body.encode() if isinstance(body, Chunked) else body
    return encode_head(method, target, headers + framing) + content


class Wire:
    """One TCP connection to a server; a context manager that closes it."""

    def __init__(self, host: str, port: int, *, timeout_s: float = TIMEOUT_S) -> None:
        self.host = f"{host}:{port}"
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        """Send the bytes; a server that has closed already is no error, its answer can still be read."""
        try:
            self.socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            return

    def try_send(self, content: bytes) -> bool:
        """Send the bytes; tell whether the server still takes them."""
        try:
            self.socket.sendall(content)
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Close the connection without saying goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self) -> None:
        """Say that nothing more will be sent; answers still come, unless the server has closed already."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self, method: str = "GET") -> Answer:
        """Return the next answer; interim answers are skipped.

        Raises http.client.HTTPException or OSError when the server closes without one.
        """
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        body = response.read()
        return Answer(response.status, tuple(response.getheaders()), body)

    def receive_or_close(self, method: str = "GET") -> Answer | None:
        """Return the next answer, or None when the server closes the connection instead."""
        try:
            return self.receive(method)
        except (http.client.RemoteDisconnected, http.client.BadStatusLine, ConnectionError):
            return None

    def ask(self, method: str, target: str, headers: Headers = (), body: Body = b"") -> Answer:
        """Send one request and return its answer; Host is added unless given."""
        if not any(name.lower() == "host" for name, _ in headers):
            headers = (("Host", self.host), *headers)
        self.send(encode_request(method, target, headers, body))
        return self.receive(method)


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry and the account that tests use."""

    host: str
    port: int
    user: str
    password: str

    def connect(self, *, timeout_s: float = TIMEOUT_S) -> Wire:
        """Open a connection."""
        return Wire(self.host, self.port, timeout_s=timeout_s)

    @property
    def admin(self) -> Headers:
        """The header that authenticates as the administrator."""
        return (("Authorization", basic(self.user, self.password)),)

    def ask(self, method: str, target: str, headers: Headers = (), body: Body = b"") -> Answer:
        """Send one request as it is on a connection of its own."""
        with self.connect() as wire:
            return wire.ask(method, target, headers, body)

    def ask_as_admin(self, method: str, target: str, headers: Headers = (), body: Body = b"") -> Answer:
        """Send one request as the administrator on a connection of its own."""
        return self.ask(method, target, (*self.admin, *headers), body)
