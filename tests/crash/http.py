"""HTTP/1.1 as plain as can be: what was sent is sent once, and a torn answer is no answer."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_TIMEOUT_S = 60
_MAX_HEAD_BYTES = 64 * 1024


class LostError(Exception):
    """No whole answer came: the client does not know what became of its request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection to 127.0.0.1 that is opened when it is needed, and kept if it may be."""

    def __init__(self, port: int, *, keeps_alive: bool = True) -> None:
        self._port = port
        self._keeps_alive = keeps_alive
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a request, once, and return the whole answer; raises LostError when none comes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        is_whole = False
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await self._open()
                writer.write(head + body)
                await writer.drain()
                answer = await _read_answer(reader, method)
            is_whole = True
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            raise LostError(f"{method} {path}: {error!r}") from error
        finally:
            if not is_whole or not self._keeps_alive:
                await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection; a later request opens another one."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_MAX_HEAD_BYTES)
        return self._streams


async def _read_answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip().split("\r\n")
    status = int(status_line.split(" ", 2)[1])
    fields = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    if method == "HEAD" or status in {204, 304}:
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await _read_chunks(reader))
    return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size_bytes := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size_bytes))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
