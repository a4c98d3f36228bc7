"""A token issuer as GitHub, GitLab and Kubernetes run one: discovery, keys, tokens; and what attackers do."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

Reply = Callable[[BaseHTTPRequestHandler], None]

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


class Issuer:
    """Runs on a free port of 127.0.0.1 until it is closed; counts what it is asked for.

    `replies` replaces what a path answers. With the paths of a certificate for localhost and its key it
    speaks TLS.
    """

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        self.keys: list[RSAKey | ECKey] = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.replies: dict[str, Reply] = {}
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                reply = issuer.replies.get(self.path)
                if reply is not None:
                    reply(self)
                elif self.path == DISCOVERY:
                    send_json(self, issuer.discovery())
                elif self.path == KEYS:
                    send_json(self, issuer.jwks())
                else:
                    self.send_error(404)

            do_POST = do_GET  # noqa: N815 - as http.server calls it

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and let go of the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document."""
        return {"issuer": self.url, "jwks_uri": self.url + KEYS}

    def jwks(self) -> dict[str, Any]:
        """Return the public keys."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def token(
        self,
        claims: dict[str, Any] | None = None,
        *,
        key: RSAKey | ECKey | None = None,
        header: dict[str, Any] | None = None,
    ) -> str:
        """Return a token for the audience `homeport`; a claim or header that is None is left out."""
        now = int(time.time())
        key = key or self.keys[0]
        algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
        merged = {
            "iss": self.url,
            "sub": "repo:acme/shop:ref:refs/heads/main",
            "aud": "homeport",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **(claims or {}),
        }
        head = {"alg": algorithm, "kid": key.kid, **(header or {})}
        return jwt.encode(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in merged.items() if value is not None},
            key,
            algorithms=[algorithm],
        )


def send_json(handler: BaseHTTPRequestHandler, document: object) -> None:
    """Answer 200 with a document."""
    send(handler, 200, json.dumps(document).encode())


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer with a body of known length."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
