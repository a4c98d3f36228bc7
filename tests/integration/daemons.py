"""containerd and Docker's daemon, each with its own sockets, storage and configuration."""

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from tests.programs import Daemon, Shell, make_shell, require_program
from tests.reader import Registry

START_TIMEOUT_S = 60
CONTAINERD_CONFIG = """\
version = 2
root = "{root}/content"
state = "{root}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{root}/containerd.sock"
[ttrpc]
  address = "{root}/containerd.ttrpc"
[plugins."io.containerd.metadata.v1.bolt"]
  content_sharing_policy = "isolated"
"""


class Containerd:
    """containerd, and `ctr` to drive it; whoever starts it stops it. Needs root."""

    def __init__(self) -> None:
        # sockets want short paths, so not below pytest's own directory
        self.directory = Path(tempfile.mkdtemp(prefix="homeport-ctr-"))
        self.socket = self.directory / "containerd.sock"
        self.shell: Shell = make_shell(self.directory / "home")
        self._daemon: Daemon | None = None

    def start(self) -> "Containerd":
        """Start the daemon and wait until it answers."""
        config = self.directory / "config.toml"
        config.write_text(CONTAINERD_CONFIG.format(root=self.directory))
        self._daemon = Daemon(
            [require_program("containerd"), "--config", config],
            self.directory / "containerd.log",
            self.shell.environment,
        )
        _wait(self._daemon, lambda: self._attempt("version"))
        return self

    def ctr(self, namespace: str, *arguments: str | Path) -> str:
        """Run `ctr` and return what it printed; namespaces share no content."""
        return self.shell.run("ctr", "--address", self.socket, "--namespace", namespace, *arguments)

    def stop(self) -> None:
        """End the daemon and remove all that it stored."""
        if self._daemon:
            self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _attempt(self, *arguments: str) -> bool:
        return self.shell.attempt("ctr", "--address", self.socket, *arguments).returncode == 0


class Ipv6Forwarder:
    """Listens on ::1 and passes connections on to the same port of 127.0.0.1."""

    def __init__(self, host: str) -> None:
        port = int(host.rpartition(":")[2])
        self._listener = socket.create_server(("::1", port), family=socket.AF_INET6)
        self._target = ("127.0.0.1", port)

    def __enter__(self) -> Self:
        """Start to accept connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_details: object) -> None:
        """Accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(256 * 1024):
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class DockerDaemon:
    """Docker's daemon without networks, and `docker` to drive it; whoever starts it stops it. Needs root.

    It lives in a mount namespace of its own, in which /etc/docker and /etc/hosts are this daemon's: nothing
    of the machine's own Docker is seen or changed. There, localhost is ::1 alone: Docker does not check
    certificates of registries on 127.0.0.1.
    """

    def __init__(self, containerd: Containerd, registry: Registry) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="homeport-docker-"))
        self.registry = registry
        self.containerd = containerd
        self.authority = self.directory / "etc" / "certs.d" / registry.host / "ca.crt"
        self.shell: Shell = make_shell(
            self.directory / "home",
            DOCKER_HOST=f"unix://{self.directory}/docker.sock",
            DOCKER_BUILDKIT="0",
            GODEBUG="netdns=go",
        )
        self._daemon: Daemon | None = None

    def start(self) -> "DockerDaemon":
        """Start the daemon, which asks the registry before Docker Hub."""
        (self.directory / "etc").mkdir()
        settings = {"registry-mirrors": [self.registry.url], "max-concurrent-uploads": 5}
        (self.directory / "etc" / "daemon.json").write_text(json.dumps(settings))
        (self.directory / "hosts").write_text("::1 localhost\n")
        script = (
            'set -e; mount --bind "$1/etc" /etc/docker; mount --bind "$1/hosts" /etc/hosts; '
            'shift; exec dockerd "$@"'
        )
        self._daemon = Daemon(
            [
                *(require_program("unshare"), "--mount", "--propagation", "private"),
                *("sh", "-c", script, "dockerd", self.directory, *self._options()),
            ],
            self.directory / "dockerd.log",
            self.shell.environment,
        )
        _wait(self._daemon, lambda: self.attempt("version").returncode == 0)
        return self

    @property
    def namespace(self) -> list[str]:
        """What stands in front of a command that is to run where the daemon lives."""
        assert self._daemon is not None
        return ["nsenter", "--target", str(self._daemon.process.pid), "--mount", "--root"]

    def docker(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run `docker` where the daemon lives and return what it printed."""
        return self.shell.run(*self._command(), *arguments, stdin=stdin)

    def attempt(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `docker` where the daemon lives and return how it ended."""
        return self.shell.attempt(*self._command(), *arguments, stdin=stdin)

    def trust_authority(self) -> None:
        """Trust the registry's own authority, when it has one."""
        self.authority.parent.mkdir(parents=True, exist_ok=True)
        if self.registry.ca:
            self.authority.write_bytes(self.registry.ca.read_bytes())

    def log_in(self) -> None:
        """Store the registry's account."""
        self.docker(
            *("login", "--username", self.registry.user, "--password-stdin", self.registry.host),
            stdin=self.registry.password,
        )

    def log_out(self) -> None:
        """Forget the registry's account."""
        self.docker("logout", self.registry.host)

    def remove_images(self) -> None:
        """Forget every image."""
        self.docker("image", "prune", "--all", "--force")

    def repository_digests(self, name: str) -> list[str]:
        """Return the digests under which registries know the image."""
        names: list[str] = json.loads(self.docker("inspect", "--format", "{{json .RepoDigests}}", name))
        return [name.partition("@")[2] for name in names]

    def image_id(self, name: str) -> str:
        """Return the image's id: the digest of its configuration."""
        return self.docker("inspect", "--format", "{{.Id}}", name).strip()

    def name(self, repository: str, tag: str = "latest") -> str:
        """Return an image's name at the registry."""
        return f"{self.registry.host}/{repository}:{tag}"

    def stop(self) -> None:
        """End the daemon and remove all that it stored."""
        if self._daemon:
            self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _command(self) -> list[str]:
        return [*self.namespace, "docker"]

    def _options(self) -> list[str | Path]:
        root = self.directory
        return [
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none"),
            *("--data-root", root / "data", "--exec-root", root / "exec", "--pidfile", root / "pid"),
            *("--host", f"unix://{root}/docker.sock", "--containerd", self.containerd.socket),
        ]


def _wait(daemon: Daemon, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers():
        daemon.check_running()
        if time.monotonic() > deadline:
            daemon.kill()
            pytest.fail(f"{daemon.command[0]} does not answer:\n{daemon.log.read_text()[-4000:]}")
        time.sleep(0.1)
