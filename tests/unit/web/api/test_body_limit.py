import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from homeport.web.api.body_limit import BodyLimit

pytestmark = pytest.mark.anyio


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body to its end, as an application does."""
    del scope, send
    while (await receive()).get("more_body"):
        pass


async def send_nothing(message: Message) -> None:
    del message


def sending(*chunks: bytes) -> Receive:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive() -> Message:
        message = next(left, None)
        if message is None:
            await asyncio.sleep(60)
            raise AssertionError
        return message

    return receive


async def test_body_within_the_limit_passes() -> None:
    await BodyLimit(read_all, max_bytes=10)({}, sending(b"12345", b"67890"), send_nothing)


async def test_longer_body_is_refused() -> None:
    with pytest.raises(HTTPException) as caught:
        await BodyLimit(read_all, max_bytes=10)({}, sending(b"12345", b"678901"), send_nothing)
    assert caught.value.status_code == 413


async def test_client_that_pauses_is_refused() -> None:
    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(HTTPException) as caught:
        await BodyLimit(read_all, pause_s=0.05)({}, receive, send_nothing)
    assert caught.value.status_code == 408


async def test_wait_for_the_client_to_leave_has_no_end() -> None:
    async def read_on(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(scope, receive, send)
        async with asyncio.timeout(0.2):
            await receive()

    with pytest.raises(TimeoutError):
        await BodyLimit(read_on, pause_s=0.05)({}, sending(b"1"), send_nothing)
