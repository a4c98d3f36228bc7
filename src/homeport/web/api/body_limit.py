"""Bounds the bodies of requests: their size, and how long a client may pause in one."""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1024 * 1024
BODY_PAUSE_S = 30.0


class BodyLimit:
    """Lets whoever reads a longer or slower body raise HTTPException 413 or 408."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, pause_s: float = BODY_PAUSE_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._pause_s = pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        body = _Body(receive, self._max_bytes, self._pause_s)
        await self._app(scope, body.receive, send)


class _Body:
    def __init__(self, receive: Receive, max_bytes: int, pause_s: float) -> None:
        self._receive = receive
        self._left_bytes = max_bytes
        self._pause_s = pause_s
        self._is_whole = False

    async def receive(self) -> Message:
        """Return the next message; once the body is whole, the wait for the client to leave has no end."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._pause_s):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        self._left_bytes -= len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._left_bytes < 0:
            raise HTTPException(413)
        return message
