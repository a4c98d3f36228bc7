"""A keep-alive HTTP/1.1 client on a bare socket, so that the client's own cost stays small."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

TIMEOUT_S = 120.0

_NO_HEADERS: Mapping[str, str] = {}
_CHUNK_BYTES = 1024 * 1024


class AnswerError(Exception):
    """A server gave another answer than the measurement needs, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection to a server on this machine; a context manager that closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def request(
        self, method: str, target: str, headers: Mapping[str, str] = _NO_HEADERS, body: bytes = b""
    ) -> Response:
        """Send a request and return the whole answer, whatever its status."""
        length = len(body) if body or method in {"POST", "PUT", "PATCH"} else None
        self._socket.sendall(request_head(method, target, headers, length) + body)
        return self._read_response(is_bodiless=method == "HEAD")

    def send_file(self, method: str, target: str, headers: Mapping[str, str], path: Path) -> Response:
        """Send a request whose body is the file, handed over by the kernel."""
        with path.open("rb") as file:
            self._socket.sendall(request_head(method, target, headers, path.stat().st_size))
            self._socket.sendfile(file)
        return self._read_response()

    def download(self, target: str, headers: Mapping[str, str], *, is_discarded: bool = False) -> int:
        """Fetch the body into nowhere and return its size in bytes.

        A body that is discarded is dropped by the kernel, which does not even copy it (MSG_TRUNC in tcp(7)).
        Raises AnswerError unless the status is 200 and the body as long as announced.
        """
        self._socket.sendall(request_head("GET", target, headers, None))
        status, answer_headers = self._read_head()
        length = int(answer_headers.get("content-length", -1))
        if status != 200 or length < 0:
            raise AnswerError(f"GET {target}: status {status}, Content-Length {length}")
        missing = length - len(self._received)
        self._received = b""
        buffer = bytearray(_CHUNK_BYTES)
        flags = socket.MSG_TRUNC if is_discarded else 0
        while missing > 0:
            count = self._socket.recv_into(buffer, min(missing, _CHUNK_BYTES), flags)
            if not count:
                raise AnswerError(f"GET {target}: {missing} bytes short")
            missing -= count
        return length

    def _read_response(self, *, is_bodiless: bool = False) -> Response:
        status, headers = self._read_head()
        if is_bodiless or status in {204, 304}:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._read_chunks()
        else:
            body = self._read(int(headers.get("content-length", 0)))
        return Response(status, headers, body)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        return parse_head(self._read_until(b"\r\n\r\n"))

    def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(self._read_until(b"\r\n"), 16):
            parts.append(self._read(size))
            self._read(2)
        self._read_until(b"\r\n")
        return b"".join(parts)

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(end)
        return found

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _receive(self) -> None:
        part = self._socket.recv(65536)
        if not part:
            raise AnswerError(f"the server on port {self._port} closed the connection")
        self._received += part


def request_head(method: str, target: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """Return a request up to its body; `length` is the body's, None when there is none."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of an answer, given without its empty line."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}


def target_of(location: str) -> str:
    """Return path and query of a Location header, absolute or not."""
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
