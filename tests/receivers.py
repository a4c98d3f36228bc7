"""Receivers of forwarded audit records, that stop and start: syslog over TCP or TLS, and a webhook."""

import json
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ports import reserve_port

_MESSAGE = re.compile(
    r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
    r" ([!-~]{1,255}) homeport (\d+) ([!-~]{1,32}) - (.*)",
    re.DOTALL,
)


class SyslogReceiver:
    """Takes messages with octet counting; its port stays the same when it is started again."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.port = reserve_port()
        self.messages: list[bytes] = []
        self._context = context
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Host and port as the server is configured with them."""
        return f"localhost:{self.port}" if self._context else f"127.0.0.1:{self.port}"

    def start(self) -> "SyslogReceiver":
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and break every connection at once, as a killed program does."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._connections:
                try:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                connection.close()
            self._connections.clear()

    def documents(self) -> list[dict[str, Any]]:
        """Return the texts of the messages, parsed; every message must be well-formed."""
        found = []
        for message in list(self.messages):
            match = _MESSAGE.fullmatch(message.decode("ascii"))
            assert match is not None, message
            found.append(json.loads(match[6]))
        return found

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
            threading.Thread(target=self._receive, args=(connection,), daemon=True).start()

    def _receive(self, connection: socket.socket) -> None:
        waiting = b""
        while True:
            try:
                received = connection.recv(65536)
            except OSError:
                return
            if not received:
                return
            waiting += received
            while b" " in waiting[:10]:
                digits, _, rest = waiting.partition(b" ")
                length = int(digits)
                if len(rest) < length:
                    break
                self.messages.append(rest[:length])
                waiting = rest[length:]


class WebhookReceiver:
    """Answers posts with `status` and keeps what it was sent; its port stays the same."""

    def __init__(self) -> None:
        self.port = reserve_port()
        self.status = 204
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._server: ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        """The URL as the server is configured with it."""
        return f"http://127.0.0.1:{self.port}/audit"

    def start(self) -> "WebhookReceiver":
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status < 300:
                    receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def documents(self) -> list[dict[str, Any]]:
        """Return every record of every batch that was answered with success."""
        return [record for _, body in list(self.requests) for record in json.loads(body)["records"]]
