"""Kills processes of a server between two of their steps, chosen by number; kill_switch.c does it."""

import mmap
import os
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from tests.programs import require_program

_SOURCE = Path(__file__).with_suffix(".c")
# struct control: mode, fired, last, count, pids, call
_LAYOUT = struct.Struct("=iiqq32i32s")
_MAX_PIDS = 32
_RECORD = 3
EVERYBODY = (-1,)
_COMPILE_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Step:
    """A system call, and what it is about: a path, or two."""

    call: str
    path: str
    other: str


class Victim(IntEnum):
    """Who dies: the process that takes the step, or the supervisor with all of its children."""

    PROCESS = 1
    GROUP = 2


class KillSwitch:
    """What a server is started with, so that the test can kill it at its n-th step.

    A step is a system call that others can notice: it changes a file, orders it to the disk, locks it, or
    sends something. A write to a file has two: before, and when half is written.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        library = directory / "kill_switch.so"
        compiler = require_program("gcc")
        subprocess.run(
            [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"],
            check=True,
            timeout=_COMPILE_TIMEOUT_S,
        )
        control = directory / "control"
        control.write_bytes(bytes(_LAYOUT.size))
        descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._memory = mmap.mmap(descriptor, _LAYOUT.size)
        finally:
            os.close(descriptor)
        self._record = directory / "record"
        self._record.touch()
        self.environment = {
            "LD_PRELOAD": str(library),
            "KILL_SWITCH": str(control),
            "KILL_SWITCH_RECORD": str(self._record),
        }

    def arm(self, pids: Iterable[int], last: int, victim: Victim = Victim.PROCESS) -> None:
        """Count the steps of these processes, or EVERYBODY, from now on and kill at step number `last`."""
        self._set(pids, last, victim)

    def record(self, pids: Iterable[int]) -> None:
        """Write the steps of these processes down from now on and kill nobody."""
        self._record.write_bytes(b"")
        self._set(pids, 0, _RECORD)

    def disarm(self) -> None:
        """Kill nobody from now on."""
        self._memory[:4] = bytes(4)

    @property
    def has_fired(self) -> bool:
        """Whether somebody was killed since the switch was armed."""
        return bool(self._fields()[1])

    @property
    def steps(self) -> int:
        """How many steps were taken since the switch was armed."""
        return int(self._fields()[3])

    @property
    def call(self) -> str:
        """The system call before which, or in which, somebody was killed."""
        return bytes(self._fields()[-1]).rstrip(b"\0").decode()

    @property
    def recorded(self) -> list[Step]:
        """The steps since the recording began."""
        lines = self._record.read_text(encoding="utf-8", errors="replace").splitlines()
        return [Step(*line.split("\t")) for line in lines]

    def _set(self, pids: Iterable[int], last: int, mode: int) -> None:
        watched = [*pids][:_MAX_PIDS]
        watched += [0] * (_MAX_PIDS - len(watched))
        self._memory[:] = _LAYOUT.pack(0, 0, last, 0, *watched, b"")
        self._memory[:4] = struct.pack("=i", mode)

    def _fields(self) -> tuple[Any, ...]:
        return _LAYOUT.unpack(self._memory[:])
