"""The servers under measurement: Homeport, Debian's docker-registry, and nginx."""

import base64
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import orjson
from bench.client import AnswerError, Connection
from bench.processes import process_tree

HOMEPORT = "homeport"
DOCKER_REGISTRY = "docker-registry"
NGINX = "nginx"

_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.004


class ServerFailedError(Exception):
    """A server did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server: `home` holds all that it writes; `credentials` are user and password."""

    name: str
    command: tuple[str, ...]
    port: int
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    credentials: tuple[str, str] | None = None


class Server:
    """A running server; a context manager that starts it, waits until it answers, and stops it."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.name = launch.name
        self.port = launch.port
        self.ready_after_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the first process of the tree."""
        if self._process is None:
            raise ServerFailedError(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        log = (self.launch.home / f"{self.name}.log").open("ab")
        with log:
            begin = time.perf_counter()
            self._process = subprocess.Popen(
                self.launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.launch.home,
                env={**os.environ, **self.launch.environment},
                start_new_session=True,
            )
        try:
            self._wait_until_ready(begin)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and whatever it started: politely, then by force."""
        if self._process is None:
            return
        tree = process_tree(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in tree:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(_STOP_TIMEOUT_S)
        self._process = None

    def _wait_until_ready(self, begin: float) -> None:
        process = self._process
        while process is not None and process.poll() is None:
            if self._answers():
                self.ready_after_s = time.perf_counter() - begin
                return
            if time.perf_counter() - begin > _READY_TIMEOUT_S:
                break
            time.sleep(_POLL_S)
        log = (self.launch.home / f"{self.name}.log").read_text(errors="replace")
        raise ServerFailedError(f"{self.name} did not become ready:\n{log[-3000:]}")

    def _answers(self) -> bool:
        try:
            with Connection(self.port) as connection:
                return connection.request("GET", "/v2/").status in {200, 401, 404}
        except (OSError, AnswerError):
            return False

    def authorization(self, *scopes: str) -> dict[str, str]:
        """Return the request headers for the scopes: a bearer token, or nothing where no login is needed."""
        if self.launch.credentials is None:
            return {}
        with Connection(self.port) as connection:
            challenge = connection.request("GET", "/v2/").headers.get("www-authenticate", "")
            parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
            query = "&".join(f"scope={quote(scope)}" for scope in scopes)
            basic = base64.b64encode(":".join(self.launch.credentials).encode()).decode()
            answer = connection.request(
                "GET",
                f"/service/token?service={quote(parameters.get('service', ''))}&{query}",
                {"Authorization": f"Basic {basic}"},
            )
        if answer.status != 200:
            raise AnswerError(f"{self.name} gave no token: {answer.status} {answer.body[:200]!r}")
        return {"Authorization": f"Bearer {orjson.loads(answer.body)['token']}"}


def homeport(home: Path) -> Launch:
    """Return how to start Homeport with its defaults on the data directory `home`/data."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    password = secrets.token_urlsafe(16)
    return Launch(
        HOMEPORT,
        (
            *(sys.executable, "-m", "homeport", "serve"),
            *("--data", str(home / "data"), "--listen", f"127.0.0.1:{port}"),
        ),
        port,
        home,
        {"HOMEPORT_ADMIN_PASSWORD": password},
        ("admin", password),
    )


def docker_registry(home: Path) -> Launch:
    """Return how to start docker-registry at its fastest: no login, no access log, descriptors in memory."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = home / "config.yml"
    config.write_text(_DOCKER_REGISTRY_CONFIG.format(port=port, storage=home / "data"))
    return Launch(DOCKER_REGISTRY, ("docker-registry", "serve", str(config)), port, home)


def nginx(home: Path) -> Launch:
    """Return how to start nginx on the files in `home`/files, with sendfile and no access log."""
    (home / "files").mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = home / "nginx.conf"
    config.write_text(_NGINX_CONFIG.format(port=port, home=home))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return Launch(NGINX, (program, "-p", str(home), "-c", str(config)), port, home)


def free_port() -> int:
    """Return a TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_DOCKER_REGISTRY_CONFIG = """\
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: 127.0.0.1:{port}
health:
  storagedriver:
    enabled: false
"""

_NGINX_CONFIG = """\
daemon off;
worker_processes auto;
user root;
pid {home}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {home}/files;
  }}
}}
"""
