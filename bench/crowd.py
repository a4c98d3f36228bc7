"""Many clients at once in one thread: they throw the body away in the kernel, so they cost little."""

import select
import socket
import time
from collections.abc import Mapping

from bench.client import TIMEOUT_S, AnswerError, parse_head, request_head

_DISCARD_BYTES = 1024 * 1024
_HEAD_BYTES = 4096


class _Client:
    """One download: `missing` is None until the head was read."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.missing: int | None = None
        self._head = b""

    def advance(self, buffer: bytearray) -> bool:
        """Take what has arrived; tells whether the download is complete."""
        if self.missing is None:
            self._read_head()
        else:
            # With MSG_TRUNC, tcp(7) drops the bytes instead of copying them.
            count = self.socket.recv_into(buffer, min(self.missing, len(buffer)), socket.MSG_TRUNC)
            if not count:
                raise AnswerError(f"a download ended {self.missing} bytes early")
            self.missing -= count
        return self.missing == 0

    def _read_head(self) -> None:
        part = self.socket.recv(_HEAD_BYTES)
        if not part:
            raise AnswerError("the server closed the connection before it answered")
        self._head += part
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        status, headers = parse_head(head)
        if status != 200 or "content-length" not in headers:
            raise AnswerError(f"a download got status {status}: {self._head[:300]!r}")
        self.missing = int(headers["content-length"]) - len(rest)


def download_at_once(port: int, target: str, headers: Mapping[str, str], count: int) -> list[float]:
    """Fetch the target with so many clients at once and return each one's time in seconds."""
    clients = [_Client(port) for _ in range(count)]
    try:
        return _run(clients, request_head("GET", target, headers, None))
    finally:
        for client in clients:
            client.socket.close()


def _run(clients: list[_Client], request: bytes) -> list[float]:
    waiting = {client.socket.fileno(): client for client in clients}
    poll = select.epoll()
    times: list[float] = []
    buffer = bytearray(_DISCARD_BYTES)
    begin = time.perf_counter()
    with poll:
        for descriptor, client in waiting.items():
            poll.register(descriptor, select.EPOLLIN)
            client.socket.sendall(request)
        while waiting:
            events = poll.poll(TIMEOUT_S)
            if not events:
                raise AnswerError(f"{len(waiting)} downloads stand still")
            for descriptor, _ in events:
                if waiting[descriptor].advance(buffer):
                    times.append(time.perf_counter() - begin)
                    poll.unregister(descriptor)
                    del waiting[descriptor]
    return times
