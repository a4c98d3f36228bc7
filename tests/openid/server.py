"""A certified OpenID provider (`oidc-provider` of npm) as a process, and a browser that signs in there."""

import fcntl
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from tests.ports import reserve_port
from tests.programs import Daemon, cache_directory, clean_environment

CLIENT_ID = "homeport"
CLIENT_SECRET = "a secret: of 100% + tests"
START_TIMEOUT_S = 30
INSTALL_TIMEOUT_S = 240

_HERE = Path(__file__).parent
_MAX_STEPS = 20


class OpenIdServer:
    """Runs on a free port of 127.0.0.1 until it is stopped.

    `accounts` maps subjects to their claims; any password signs in as the subject that is named.
    """

    def __init__(self, directory: Path, *redirect_uris: str, claims_in_userinfo: bool = True) -> None:
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.accounts: dict[str, dict[str, Any]] = {}
        self.claims_in_userinfo = claims_in_userinfo
        self.redirect_uris = redirect_uris
        self._directory = directory
        self._settings = directory / "settings.json"
        self._daemon: Daemon | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def start(self) -> "OpenIdServer":
        """Start it and wait until it listens."""
        program = _installed() / "provider.mjs"
        self._write()
        log = self._directory / "provider.log"
        environment = clean_environment(self._directory / "home")
        self._daemon = Daemon(["node", program, self._settings], log, environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        while "listening" not in log.read_text(errors="replace"):
            self._daemon.check_running()
            if time.monotonic() > deadline:
                pytest.fail(f"the OpenID provider did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Stop it; may be called again."""
        if self._daemon is not None:
            self._daemon.stop()

    def add_account(self, subject: str, **claims: object) -> None:
        """Make an account, or change its claims."""
        self.accounts[subject] = dict(claims)
        self._write()

    def settings(self, **changes: object) -> dict[str, object]:
        """Return the configuration of a server whose users sign in here."""
        return {
            "auth_mode": "oidc_auth",
            "oidc_name": "tests",
            "oidc_endpoint": self.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_scope": "openid,profile,email,groups",
            "oidc_groups_claim": "groups",
            "oidc_auto_onboard": True,
            "oidc_user_claim": "preferred_username",
            "oidc_admin_group": "",
            "oidc_group_filter": "",
            **changes,
        }

    def _write(self) -> None:
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": self.redirect_uris,
        }
        content = {
            "issuer": self.url,
            "port": self.port,
            "clients": [client],
            "accounts": self.accounts,
            "claimsInUserinfo": self.claims_in_userinfo,
        }
        draft = self._settings.with_suffix(".part")
        draft.write_text(json.dumps(content))
        draft.rename(self._settings)


def _installed() -> Path:
    """Return the directory of the provider's program, which is installed once."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed; install it with scripts/install-programs")
    sources = [_HERE / "package.json", _HERE / "provider.mjs"]
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    target = cache_directory() / f"openid-{version}"
    with (cache_directory() / "openid.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            for source in sources:
                shutil.copy(source, unfinished)
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            done = subprocess.run(
                command,
                cwd=unfinished,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                pytest.fail(f"npm cannot install oidc-provider: {done.stderr[-2000:]}")
            unfinished.rename(target)
    return target


@dataclass(slots=True)
class Page:
    """What a browser got."""

    url: str
    status: int
    headers: http.client.HTTPMessage
    body: str


@dataclass(slots=True)
class Browser:
    """Keeps cookies by host, port and path, follows nothing by itself, sends forms."""

    cookies: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def get(self, url: str) -> Page:
        """Load a page."""
        return self._send("GET", url, None, {})

    def post(self, url: str, body: str, content_type: str = "application/x-www-form-urlencoded") -> Page:
        """Send a form, or another body."""
        return self._send("POST", url, body, {"content-type": content_type})

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie, of whatever site."""
        return next((value for (_, known), (value, _) in self.cookies.items() if known == name), None)

    def follow(self, page: Page, *, until: str) -> Page:
        """Follow redirects as long as they lead to URLs that do not begin with `until`."""
        for _ in range(_MAX_STEPS):
            if page.status not in {302, 303}:
                return page
            target = urljoin(page.url, page.headers["location"])
            if target.startswith(until):
                return page
            page = self.get(target)
        raise AssertionError("too many redirects")

    def sign_in(self, login_url: str, subject: str) -> str:
        """Begin at our login URL, sign in at the provider, and return the URL that it sends back to."""
        begun = self.get(login_url)
        assert begun.status == 302, (begun.status, begun.body)
        callback = f"{urlsplit(login_url).scheme}://{urlsplit(login_url).netloc}/c/oidc/callback"
        page = self.follow(self.get(begun.headers["location"]), until=callback)
        for _ in range(_MAX_STEPS):
            if page.status in {302, 303}:
                return str(urljoin(page.url, page.headers["location"]))
            action, fields = _form(page)
            if "login" in fields:
                fields |= {"login": subject, "password": "any"}
            page = self.follow(self.post(urljoin(page.url, action), urlencode(fields)), until=callback)
        raise AssertionError("the provider asks for ever")

    def _send(self, method: str, url: str, body: str | None, headers: dict[str, str]) -> Page:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        sent = [
            f"{name}={value}"
            for (host, name), (value, path) in self.cookies.items()
            if host == parts.netloc and parts.path.startswith(path)
        ]
        if sent:
            headers = {**headers, "cookie": "; ".join(sent)}
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            self._remember(parts.netloc, response.headers.get_all("set-cookie") or [])
            return Page(url, response.status, response.headers, response.read().decode(errors="replace"))
        finally:
            connection.close()

    def _remember(self, host: str, lines: list[str]) -> None:
        for line in lines:
            pair, *attributes = line.split(";")
            name, _, value = pair.strip().partition("=")
            given = dict(part.strip().lower().partition("=")[::2] for part in attributes)
            if given.get("max-age") == "0" or "1970" in given.get("expires", "") or not value.strip('"'):
                self.cookies.pop((host, name), None)
            else:
                path = next(
                    (part.strip()[5:] for part in attributes if part.strip()[:5].lower() == "path="), "/"
                )
                self.cookies[host, name] = value, path


def _form(page: Page) -> tuple[str, dict[str, str]]:
    action = re.search(r'<form[^>]*action="([^"]*)"', page.body)
    assert action is not None, (page.url, page.status, page.body[:2000])
    inputs = re.findall(r"<input[^>]*>", page.body)
    fields = {}
    for text in inputs:
        name = re.search(r'name="([^"]*)"', text)
        value = re.search(r'value="([^"]*)"', text)
        if name is not None:
            fields[name[1]] = unescape(value[1]) if value else ""
    return unescape(action[1]), fields
