"""Other people's programs that tests run: found, started, stopped, with what they said when they fail."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TIMEOUT_S = 120
# Debian's own first, the rest of the caller's after it
SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")


def require_program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails as root, who can install it."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        (pytest.fail if os.getuid() == 0 else pytest.skip)(f"needs the program {name}: see `make programs`")
    return path


def cache_directory() -> Path:
    """Return where things are kept that are costly to make: HOMEPORT_TEST_CACHE, or a place in the home."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return _made(Path(os.environ.get("HOMEPORT_TEST_CACHE", home / "homeport-tests")))


def require_root() -> None:
    """Skip the test unless it runs as root."""
    if os.getuid() != 0:
        pytest.skip("needs root")


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment whose programs read and write nothing of the person who runs the tests."""
    runtime = home / "run"
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "PATH": SEARCH_PATH,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(_made(home / "tmp")),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        **more,
    }


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs programs in one directory with one environment."""

    directory: Path
    environment: Mapping[str, str] = field(repr=False)

    def run(self, *command: str | Path, stdin: str = "", timeout_s: float = TIMEOUT_S) -> str:
        """Return what the program wrote to its standard output; fails the test when it fails."""
        done = self.attempt(*command, stdin=stdin, timeout_s=timeout_s)
        if done.returncode != 0:
            pytest.fail(
                f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr}\n{done.stdout}"
            )
        return done.stdout

    def attempt(
        self, *command: str | Path, stdin: str = "", timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Return the ended program, whether it failed or not."""
        require_program(str(command[0]))
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.directory,
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def make_shell(home: Path, **more: str) -> Shell:
    """Return a shell whose programs keep all that they write below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    return Shell(home, clean_environment(home, **more))


class Daemon:
    """A program that runs in the background, in its own session, with its output in a file."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def check_running(self) -> None:
        """Fail the test, with the end of the log, when the program has ended."""
        if self.process.poll() is not None:
            pytest.fail(
                f"{' '.join(self.command)}\nended with {self.process.returncode}:\n"
                + self.log.read_text(errors="replace")[-4000:]
            )

    def stop(self, *, patience_s: float = 30) -> int:
        """Ask the program to end, wait for it, and return its exit code; may be called again."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """End the program and all of its session at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
