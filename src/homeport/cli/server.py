"""Talking to a server's control plane from the command line: where it is, who asks, lists and errors."""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer

from homeport.errors import HomeportError

URL_VARIABLE = "HOMEPORT_URL"
USERNAME_VARIABLE = "HOMEPORT_USERNAME"
PASSWORD_VARIABLE = "HOMEPORT_PASSWORD"  # noqa: S105 - the variable's name

_API = "/api/v2.0"
_TIMEOUT_S = 60
_PAGE_SIZE = 100
_MAX_ANSWER_BYTES = 64 * 1024 * 1024

ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help=f"the server  [{URL_VARIABLE}, `homeport login`]"),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="certificate authority of the server (PEM)")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for programs")]


class ServerError(HomeportError):
    """The server refused, or could not be asked. `status` is 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Account:
    """A server and an account on it."""

    url: str
    username: str
    password: str = ""
    ca: str = ""

    def __repr__(self) -> str:
        return f"Account({self.url!r}, {self.username!r})"


class ServerClient:
    """Asks one server as one account."""

    def __init__(self, account: Account) -> None:
        self._url = account.url.rstrip("/")
        credentials = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
        self._authorization = f"Basic {credentials}"
        context = (
            ssl.create_default_context(cafile=account.ca or None) if self._url.startswith("https") else None
        )
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON of a resource."""
        return self._ask("GET", path, query=query)[0]

    def list_all(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield every entry of a list, page by page."""
        page = 1
        while True:
            entries, headers = self._ask("GET", path, query={**query, "page": page, "page_size": _PAGE_SIZE})
            yield from entries or []
            total = int(headers.get("x-total-count", "0"))
            if not entries or page * _PAGE_SIZE >= total:
                return
            page += 1

    def post(self, path: str, body: object) -> tuple[Any, str]:
        """Make something; returns the JSON of the answer, if any, and the Location."""
        content, headers = self._ask("POST", path, body=body)
        return content, headers.get("location", "")

    def put(self, path: str, body: object) -> Any:
        """Change something."""
        return self._ask("PUT", path, body=body)[0]

    def patch(self, path: str, body: object) -> Any:
        """Change a part of something."""
        return self._ask("PATCH", path, body=body)[0]

    def delete(self, path: str) -> None:
        """Delete something."""
        self._ask("DELETE", path)

    def _ask(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None
    ) -> tuple[Any, Mapping[str, str]]:
        given = {key: value for key, value in (query or {}).items() if value is not None}
        url = f"{self._url}{_API}{path}" + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": self._authorization, "Accept": "application/json"}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=content, headers=headers, method=method)  # noqa: S310 - http(s), see find_account
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                text = answer.read(_MAX_ANSWER_BYTES)
                found = {key.lower(): value for key, value in answer.headers.items()}
                return (json.loads(text) if text else None), found
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(
                f"{self._url} cannot be asked: {reason}", hint="check --server, the network and --ca"
            ) from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Credentials must not follow a redirect."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Follow none."""


def _refusal(error: urllib.error.HTTPError) -> ServerError:
    try:
        entry = json.loads(error.read(1024 * 1024))["errors"][0]
        message = f"the server refuses: {entry['message']}"
    except (ValueError, KeyError, IndexError, TypeError):
        message = f"the server answers {error.code} {error.reason}"
    hint = "sign in with `homeport login`" if error.code == 401 else ""  # noqa: PLR2004 - a status
    return ServerError(message, status=error.code, hint=hint)


def connect(server: str | None, ca: Path | None) -> ServerClient:
    """Return a client of the server that options, the environment or `homeport login` name."""
    return ServerClient(find_account(server, ca))


def find_account(server: str | None, ca: Path | None) -> Account:
    """Return server and account; options win over the environment, that over what was stored.

    Raises ServerError when no server or no credentials are known.
    """
    stored = load_accounts()
    url = server or os.environ.get(URL_VARIABLE) or stored.get("current", "")
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ServerError(
            "no server is named" if not url else f"{url!r} is no URL of a server",
            hint=f"use --server https://HOST, {URL_VARIABLE}, or `homeport login https://HOST`",
        )
    url = url.rstrip("/")
    known = stored.get("accounts", {}).get(url, {})
    username = os.environ.get(USERNAME_VARIABLE) or known.get("username", "")
    password = os.environ.get(PASSWORD_VARIABLE) or known.get("password", "")
    if not username or not password:
        raise ServerError(
            f"there are no credentials for {url}",
            hint=f"sign in with `homeport login {url}`, or set {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}",
        )
    return Account(url, username, password, str(ca) if ca else known.get("ca", ""))


def accounts_path() -> Path:
    """Return where `homeport login` keeps accounts."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "homeport" / "accounts.json"


def load_accounts() -> dict[str, Any]:
    """Return what `homeport login` stored: the current server and the accounts by URL."""
    try:
        content = json.loads(accounts_path().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ServerError(
            f"{accounts_path()} cannot be read: {error}", hint="correct it, or remove it and sign in again"
        ) from error
    return content if isinstance(content, dict) else {}


def store_accounts(content: dict[str, Any]) -> None:
    """Keep the accounts in a file that only its owner can read."""
    path = accounts_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, json.dumps(content, indent=2).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
