"""A PostgreSQL that lives as long as a test run, fast because it may lose its data."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.ports import reserve_port
from tests.programs import require_program

START_TIMEOUT_S = 60


class PostgresCluster:
    """A throw-away cluster in its own directory, on a free port of 127.0.0.1; whoever starts it stops it."""

    def __init__(self) -> None:
        self.port = reserve_port()
        self.directory = Path(tempfile.mkdtemp(prefix="homeport-pg-"))
        self._account = "postgres" if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "PostgresCluster":
        """Make the cluster and wait until it accepts connections."""
        if self._account:
            os.chown(self.directory, pwd.getpwnam(self._account).pw_uid, -1)
        content = str(self.directory / "content")
        self._run(
            "initdb",
            "-D",
            content,
            "-U",
            "homeport",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres"), "-D", content, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._account,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._attempt("psql", "-qc", "select 1", self._url("postgres")).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{(self.directory / 'postgres.log').read_text()}")
            time.sleep(0.1)
        return self

    def create_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"homeport_{secrets.token_hex(6)}"
        self._run("psql", "-qc", f"create database {name}", self._url("postgres"))
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, also while somebody is connected to it."""
        name = url.rpartition("/")[2]
        self._run("psql", "-qc", f"drop database if exists {name} with (force)", self._url("postgres"))

    def stop(self) -> None:
        """End the server and remove all that it stored."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _url(self, name: str) -> str:
        return f"postgresql://homeport:unchecked@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        done = self._attempt(program, *arguments)
        if done.returncode != 0:
            pytest.fail(f"{program} ended with {done.returncode}:\n{done.stderr}")

    def _attempt(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_binary(program), *arguments],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            user=self._account,
            cwd="/",
            check=False,
        )


def _binary(program: str) -> str:
    """Return the path of the newest installed version's program; Debian keeps them outside of PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = [directory / program for directory in versions if (directory / program).exists()]
    return str(found[-1]) if found else require_program(program)
