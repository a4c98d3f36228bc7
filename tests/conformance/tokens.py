"""The token service as clients use it, and what a token says."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.conformance.wire import Answer, Headers, Registry, basic

TARGET = "/service/token"
FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)

Fields = Iterable[tuple[str, str]]


def bearer(token: str) -> Headers:
    """Return the header that carries a token."""
    return (("Authorization", f"Bearer {token}"),)


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, without checking it."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def access_of(token: str) -> dict[str, list[str]]:
    """Return the actions per resource that a token covers, each as `type:name`."""
    return {
        f"{entry['type']}:{entry['name']}": sorted(entry["actions"]) for entry in claims_of(token)["access"]
    }


@dataclass(frozen=True, slots=True)
class TokenClient:
    """Asks the token service of a registry."""

    registry: Registry

    def get(self, fields: Fields = (), send: Headers | None = None) -> Answer:
        """Ask with GET, as the administrator unless other headers are given."""
        headers = self.registry.admin if send is None else send
        return self.registry.ask("GET", f"{TARGET}?{urlencode(list(fields))}", headers)

    def post(self, fields: Fields, send: Headers = FORM) -> Answer:
        """Ask with an OAuth2 form."""
        return self.registry.ask("POST", TARGET, send, urlencode(list(fields)).encode())

    def token(self, *scopes: str) -> str:
        """Return a token of the administrator for these scopes."""
        return str(
            self.get([("service", "homeport"), *(("scope", scope) for scope in scopes)]).json()["token"]
        )

    def anonymous_token(self, *scopes: str) -> str:
        """Return a token of nobody for these scopes."""
        return str(self.get([("scope", scope) for scope in scopes], ()).json()["token"])

    def token_of(self, user: str, password: str, *scopes: str) -> str:
        """Return a token of another account for these scopes."""
        send: Headers = (("Authorization", basic(user, password)),)
        return str(self.get([("scope", scope) for scope in scopes], send).json()["token"])
