"""One request under /v2: its headers, its query, its body, and the answer to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from homeport.errors import HomeportError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

API_VERSION: Header = (b"docker-distribution-api-version", b"registry/2.0")

_MAX_QUERY_FIELDS = 200
_MAX_DRAIN_BYTES = 8 * 1024 * 1024
_DRAIN_TIMEOUT_S = 10.0


class ClientDisconnectedError(HomeportError):
    """The body ended before it was complete: the client went away, or broke the framing and still listens."""


class BodyTimeoutError(HomeportError):
    """The client paused for too long in the middle of a body."""


class BodyTooLargeError(HomeportError):
    """The body is larger than this kind of request may have."""


class QueryInvalidError(HomeportError):
    """The query has too many parameters, or one that no database can compare with."""


class Request:
    """A request as the handlers see it; made once, used by one task."""

    __slots__ = (
        "_body_ended",
        "_query",
        "_receive",
        "_send",
        "access_version",
        "body_timeout_s",
        "headers",
        "is_answered",
        "method",
        "received_bytes",
        "request_id",
        "scope",
        "status",
        "version",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, body_timeout_s: float
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id
        self.body_timeout_s = body_timeout_s
        self.version = 0
        self.access_version = 0
        self.status = 0
        self.received_bytes = 0
        self.is_answered = False
        self._receive = receive
        self._send = send
        self._query: list[tuple[str, str]] | None = None
        self._body_ended = False

    def header(self, name: bytes) -> str | None:
        """Return a header's text, or None; of a repeated header, the last line."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query_all(self, name: str) -> list[str]:
        """Return every value of a query parameter, decoded."""
        if self._query is None:
            text = self.scope["query_string"].decode("latin-1")
            self._query = _parse_query(text)
        return [value for key, value in self._query if key == name]

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter, or None; an empty value counts as absent."""
        values = self.query_all(name)
        return values[0] or None if values else None

    def standard_headers(self) -> list[Header]:
        """Return the headers that every answer has."""
        return [API_VERSION, (b"x-request-id", self.request_id.encode())]

    def content_length(self) -> int | None:
        """Return the announced length of the body, or None when it is sent in chunks."""
        text = self.headers.get(b"content-length")
        return int(text) if text is not None and text.isdigit() else None

    async def body_chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises ClientDisconnectedError when it ends early and BodyTimeoutError after too long a pause.
        """
        receive = self._receive
        while not self._body_ended:
            try:
                async with asyncio.timeout(self.body_timeout_s):
                    message = await receive()
            except TimeoutError as error:
                self._body_ended = True
                raise BodyTimeoutError("the request's body stopped arriving") from error
            if message["type"] == "http.disconnect":
                self._body_ended = True
                raise ClientDisconnectedError("the request's body is malformed or ended early")
            self._body_ended = not message.get("more_body", False)
            chunk = message.get("body", b"")
            if chunk:
                self.received_bytes += len(chunk)
                yield chunk

    async def read_body(self, max_bytes: int) -> bytes:
        """Return the whole body; raises BodyTooLargeError as soon as it is known to be larger."""
        length = self.content_length()
        if length is not None and length > max_bytes:
            raise BodyTooLargeError(f"the body has more than {max_bytes} bytes")
        parts = []
        size_bytes = 0
        async for chunk in self.body_chunks():
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise BodyTooLargeError(f"the body has more than {max_bytes} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def drain_body(self) -> None:
        """Read and drop what is left of a small body, so that the connection can be used again."""
        length = self.content_length()
        if self._body_ended or length == 0 or (length or 0) > _MAX_DRAIN_BYTES:
            return
        if length is None and b"transfer-encoding" not in self.headers:
            return
        left = _MAX_DRAIN_BYTES
        try:
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                async for chunk in self.body_chunks():
                    left -= len(chunk)
                    if left < 0:
                        return
        except (TimeoutError, BodyTimeoutError, ClientDisconnectedError):
            return

    async def respond(self, status: int, headers: list[Header], body: bytes = b"") -> None:
        """Send a whole answer; Content-Length is set, and a HEAD gets no body."""
        await self.begin(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def begin(self, status: int, headers: list[Header]) -> None:
        """Send the status line and headers; the body follows by `send_part`, `send_file` or `end`."""
        self.status = status
        self.is_answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_part(self, part: bytes) -> None:
        """Send a part of the body; more follows."""
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def end(self, part: bytes = b"") -> None:
        """Send the last part of the body."""
        await self._send({"type": "http.response.body", "body": part})

    async def send_file(self, path: str) -> None:
        """Send a whole file as the body, from the server's native code."""
        await self._send({"type": "http.response.pathsend", "path": path})


def _parse_query(text: str) -> list[tuple[str, str]]:
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError as error:
        raise QueryInvalidError(f"the query has more than {_MAX_QUERY_FIELDS} parameters") from error
    if any("\0" in value for _, value in fields):
        raise QueryInvalidError("the query holds a NUL")
    return fields
