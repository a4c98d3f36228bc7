"""Profiles Homeport while a row is measured, with whichever of py-spy and perf is installed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import process_tree

_STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Profiler:
    """Writes profiles of the named rows into the directory; without rows it does nothing."""

    directory: Path
    rows: frozenset[str]

    @contextmanager
    def watch(self, row: str, pid: int) -> Iterator[None]:
        """Profile the process and its children for as long as the context lasts."""
        if row not in self.rows:
            yield
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        recorders = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in self._commands(row, pid)
        ]
        try:
            yield
        finally:
            for recorder in recorders:
                recorder.send_signal(signal.SIGINT)
            for recorder in recorders:
                recorder.wait(_STOP_TIMEOUT_S)
            self._report(row)

    def _commands(self, row: str, pid: int) -> Iterator[list[str]]:
        base = self.directory / row
        if py_spy := find_py_spy():
            how = ["--subprocesses", "--nonblocking", "--rate", "100", "--format", "flamegraph"]
            yield [py_spy, "record", "--pid", str(pid), *how, "--output", f"{base}.py-spy.svg"]
        if perf := shutil.which("perf"):
            pids = ",".join(str(child) for child in process_tree(pid))
            yield [perf, "record", "-g", "-F", "199", "-p", pids, "-o", f"{base}.perf.data"]

    def _report(self, row: str) -> None:
        recorded = self.directory / f"{row}.perf.data"
        perf = shutil.which("perf")
        if perf and recorded.exists():
            command = [perf, "report", "--stdio", "--no-children", "-g", "none", "-i", str(recorded)]
            with (self.directory / f"{row}.perf.txt").open("wb") as report:
                for order in ("dso", "dso,symbol"):
                    subprocess.run(
                        [*command, "--sort", order], stdout=report, stderr=subprocess.DEVNULL, check=False
                    )


def find_py_spy() -> str | None:
    """Return the path of py-spy: on PATH or beside this Python."""
    beside = Path(sys.executable).parent / "py-spy"
    return shutil.which("py-spy") or (str(beside) if os.access(beside, os.X_OK) else None)
