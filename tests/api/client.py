"""A plain client of Harbor's API, that does nothing by itself: no redirects, no cookies, no retries."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "/api/v2.0"
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the first error."""
        return str(self.json["errors"][0]["code"])

    @property
    def message(self) -> str:
        """The message of the first error."""
        return str(self.json["errors"][0]["message"])

    @property
    def created_id(self) -> int:
        """The id in the Location of what was made."""
        assert self.status == 201, (self.status, self.body)
        return int(self.headers["location"].rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Api:
    """A caller of the API: with Basic credentials when it has a user name, with fixed headers when given."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    ca: Path | None = None

    def as_user(self, user: str, password: str) -> "Api":
        """Return another caller of the same server."""
        return replace(self, user=user, password=password, headers={})

    def as_stranger(self) -> "Api":
        """Return a caller without credentials."""
        return replace(self, user="", password="", headers={})

    def with_headers(self, **headers: str) -> "Api":
        """Return the caller with these headers in every request; `_` in a name stands for `-`."""
        return replace(self, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def get(self, path: str) -> ApiAnswer:
        """Ask for something below the API's root."""
        return self.request("GET", PREFIX + path)

    def post(self, path: str, body: object = None) -> ApiAnswer:
        """Make something."""
        return self.request("POST", PREFIX + path, body)

    def put(self, path: str, body: object = None) -> ApiAnswer:
        """Change something."""
        return self.request("PUT", PREFIX + path, body)

    def patch(self, path: str, body: object = None) -> ApiAnswer:
        """Change a part of something."""
        return self.request("PATCH", PREFIX + path, body)

    def delete(self, path: str) -> ApiAnswer:
        """Delete something."""
        return self.request("DELETE", PREFIX + path)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """Send one request on a connection of its own; bytes go as they are, other bodies as JSON."""
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        sent = {**self._credentials(), **self.headers, **(headers or {})}
        content = None
        if isinstance(body, bytes):
            content = body
        elif body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            return ApiAnswer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def _credentials(self) -> dict[str, str]:
        if not self.user:
            return {}
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"authorization": f"Basic {credentials}"}
