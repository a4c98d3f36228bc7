"""Registries that tests talk to: Homeport itself and Debian's docker-registry, each as a real process."""

import os
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from homeport.auth.authority import authority_directory, ensure_authority, issue_server_certificate
from tests.ports import reserve_port
from tests.programs import Daemon, clean_environment, require_program
from tests.reader import Registry, RegistryReader

START_TIMEOUT_S = 30
PASSWORD = "Harbour-4-tests"
_READY = re.compile(r"Homeport is ready at (https?://[^\s\x1b]+)")


class HomeportServer:
    """`homeport serve` in a process of its own, with its own data directory.

    It listens on a free port of 127.0.0.1, which it picks at its first start and keeps when it is started
    again. The password of `admin` comes from the environment. Whoever starts it stops it.
    """

    def __init__(
        self, directory: Path, *options: str, environment: Mapping[str, str] | None = None, workers: int = 2
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "homeport.log"
        self.options = options
        self.environment = environment or {}
        self.workers = workers
        self.user, self.password = "admin", PASSWORD
        self.url = ""
        self._daemon: Daemon | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def registry(self) -> Registry:
        """What clients need to know; valid after the first start."""
        return Registry(self.url, self.user, self.password, self.ca)

    @property
    def host(self) -> str:
        """Host and port, as they stand in an image reference."""
        return self.registry.host

    @property
    def ca(self) -> Path | None:
        """The own authority's certificate, when the server speaks TLS."""
        return authority_directory(self.data) / "ca.crt" if self.url.startswith("https:") else None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._daemon is not None
        return self._daemon.process.pid

    @property
    def output(self) -> str:
        """All that the server wrote, over all its starts."""
        return self.log.read_text(errors="replace")

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> "HomeportServer":
        """Start the server and wait for its ready line."""
        seen = len(self.output) if self.log.exists() else 0
        daemon = Daemon(self.command(), self.log, self._environment())
        self._daemon = daemon
        deadline = time.monotonic() + timeout_s
        while not (ready := _READY.search(self.output, seen)):
            daemon.check_running()
            if time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"homeport was not ready after {timeout_s} s:\n{self.output[seen:][-4000:]}")
            time.sleep(0.01)
        self.url = ready[1].rstrip("/")
        return self

    def command(self) -> list[str]:
        """Return the command that starts the server."""
        given = " ".join(self.options)
        command = [sys.executable, "-m", "homeport", "serve", "--data", str(self.data)]
        if "--listen" not in given:
            port = self.host.rpartition(":")[2] or "0"
            command += ["--listen", f"127.0.0.1:{port}"]
        if "--workers" not in given:
            command += ["--workers", str(self.workers)]
        return [*command, *self.options]

    def stop(self) -> int:
        """Ask the server to end, wait until it has drained, and return its exit code; may be called again."""
        return self._daemon.stop() if self._daemon else 0

    def kill(self) -> None:
        """Kill the supervisor and every worker at once."""
        if self._daemon:
            self._daemon.kill()

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("COVERAGE_", "PYTHON")) and name != "PYTHONDONTWRITEBYTECODE"
        }
        home = clean_environment(self.directory / "home", HOMEPORT_ADMIN_PASSWORD=self.password)
        return {**home, **inherited, **self.environment}


class DockerRegistry:
    """Debian's docker-registry: the registry that Homeport is compared with and copies from.

    Without `user` it lets everybody do everything. With `names` it speaks TLS, with a certificate for them
    from an authority of its own.
    """

    def __init__(self, directory: Path, *, user: str = "", names: Sequence[str] = ()) -> None:
        self.directory = directory
        self.log = directory / "registry.log"
        self.user = user
        self.names = names
        self.port = reserve_port()
        self._daemon: Daemon | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def registry(self) -> Registry:
        """What clients need to know."""
        scheme, host = ("https", self.names[0]) if self.names else ("http", "127.0.0.1")
        return Registry(f"{scheme}://{host}:{self.port}", self.user, PASSWORD if self.user else "", self.ca)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self.registry.url

    @property
    def host(self) -> str:
        """Host and port, as they stand in an image reference."""
        return self.registry.host

    @property
    def ca(self) -> Path | None:
        """The authority's certificate, when the server speaks TLS."""
        return self.directory / "tls" / "ca.crt" if self.names else None

    def start(self) -> "DockerRegistry":
        """Start the server and wait until it answers."""
        config = self._write_config()
        command = [require_program("docker-registry"), "serve", str(config)]
        self._daemon = Daemon(command, self.log, clean_environment(self.directory / "home"))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            self._daemon.check_running()
            if time.monotonic() > deadline:
                self._daemon.kill()
                pytest.fail(f"docker-registry does not answer:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End the server; may be called again."""
        if self._daemon:
            self._daemon.stop()

    def _write_config(self) -> Path:
        lines = [
            "version: 0.1",
            "log: {level: warn, accesslog: {disabled: true}}",
            "storage:",
            f"  filesystem: {{rootdirectory: {self.directory / 'content'}}}",
            "  cache: {blobdescriptor: inmemory}",
            "  delete: {enabled: true}",
            "http:",
            f"  addr: 127.0.0.1:{self.port}",
        ]
        if self.names:
            authority = ensure_authority(self.directory / "tls")
            issue_server_certificate(authority, self.names)
            tls = self.directory / "tls"
            lines.append(f"  tls: {{certificate: {tls / 'server.crt'}, key: {tls / 'server.key'}}}")
        if self.user:
            accounts = self.directory / "htpasswd"
            accounts.write_text(f"{self.user}:{_bcrypt(PASSWORD)}\n")
            lines.append(f"auth: {{htpasswd: {{realm: tests, path: {accounts}}}}}")
        config = self.directory / "config.yml"
        config.write_text("\n".join(lines) + "\n")
        return config

    def _answers(self) -> bool:
        try:
            return RegistryReader(self.registry).status("/v2/") in {200, 401}
        except OSError:
            return False


def _bcrypt(password: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt

        return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))  # noqa: S324 - bcrypt
