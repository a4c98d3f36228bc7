"""Processes: one supervisor that starts, watches, restarts and drains its children."""

import ctypes
import fcntl
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path

import structlog

from homeport.errors import HomeportError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_QUICK_DEATH_S = 2.0
_MAX_PAUSE_S = 1.0
_MAX_QUICK_DEATHS = 10
_POLL_S = 0.02


class AlreadyRunningError(HomeportError):
    """Another server uses the data directory."""


class AddressInUseError(HomeportError):
    """The address cannot be listened on."""


class StartError(HomeportError):
    """The processes do not come up."""


class DirectoryLock:
    """Keeps a data directory for one server; held until the last process that inherited it is gone."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeportError(
                f"the data directory {directory} cannot be used: {error.strerror}",
                hint="choose another with --data, or correct its owner and permissions",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"a server already uses the data directory {directory}"
                + (f" (process {pid})" if pid else ""),
                hint="stop it first, or choose another directory with --data",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)


def reserve_address(host: str, port: int) -> tuple[str, int]:
    """Return the address with a real port, after checking that nobody else listens there.

    The workers share the port (SO_REUSEPORT), which would also let a second server slip in unseen: hence the
    exclusive check. Raises AddressInUseError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise AddressInUseError(
                f"{host}:{port} cannot be listened on: {error.strerror}",
                hint="stop what listens there, or choose another address with --listen",
            ) from error
        bound: int = probe.getsockname()[1]
        return host, bound


@dataclass(frozen=True, slots=True)
class Program:
    """A kind of child process; `stage` orders the stop: higher stages end first."""

    name: str
    run: Callable[[], None]
    count: int
    stage: int
    grace_s: float


@dataclass(slots=True)
class _Child:
    program: Program
    process: ForkProcess | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    start_at: float = 0.0


class Supervisor:
    """Runs programs until SIGTERM or SIGINT, restarting children that die.

    On the signal each stage in turn gets SIGTERM and its grace period to finish what runs, then SIGKILL.
    Children are forked: what the supervisor has imported they share.
    """

    def __init__(
        self, programs: list[Program], is_ready: Callable[[], bool], on_ready: Callable[[], None]
    ) -> None:
        self._children = [_Child(program) for program in programs for _ in range(program.count)]
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._is_stopping = False
        self._has_been_ready = False

    def run(self) -> None:
        """Return when everything has ended. Raises StartError when a program does not come up."""
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        lifeline = os.pipe2(os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        gc.collect()
        gc.freeze()
        try:
            while not self._is_stopping:
                self._start_due(lifeline)
                self._wait(wake)
                self._bury_dead()
        finally:
            self._stop()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                # A second one, while the interpreter ends, must not spoil the exit code.
                signal.signal(number, signal.SIG_IGN)

    def _ask_to_stop(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _start_due(self, lifeline: tuple[int, int]) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.start_at <= now:
                child.process = multiprocessing.get_context("fork").Process(
                    target=_enter_child, args=(child.program, os.getpid(), lifeline), name=child.program.name
                )
                child.process.start()
                child.started_at = now

    def _wait(self, wake: int) -> None:
        now = time.monotonic()
        timeout = None if self._has_been_ready else _POLL_S
        for child in self._children:
            if child.process is None:
                due = max(child.start_at - now, 0.0)
                timeout = due if timeout is None else min(timeout, due)
        sentinels = [child.process.sentinel for child in self._children if child.process is not None]
        wait([*sentinels, wake], timeout)
        with suppress(BlockingIOError):
            os.read(wake, 512)
        if not self._has_been_ready and not self._is_stopping and self._is_ready():
            self._has_been_ready = True
            self._on_ready()

    def _bury_dead(self) -> None:
        now = time.monotonic()
        for child in self._children:
            process = child.process
            if process is None or process.is_alive():
                continue
            lived_s = now - child.started_at
            code = process.exitcode
            process.close()
            child.process = None
            child.quick_deaths = child.quick_deaths + 1 if lived_s < _QUICK_DEATH_S else 0
            pause_s = min(0.05 * 2**child.quick_deaths, _MAX_PAUSE_S) if child.quick_deaths else 0.0
            child.start_at = now + pause_s
            if not self._is_stopping:
                log.warning("process_died", program=child.program.name, exit_code=code, restart_in_s=pause_s)
            if child.quick_deaths >= _MAX_QUICK_DEATHS and not self._has_been_ready:
                raise StartError(
                    f"the {child.program.name} process keeps dying with exit code {code}",
                    hint="the lines above say why",
                )

    def _stop(self) -> None:
        for stage in sorted({child.program.stage for child in self._children}, reverse=True):
            children = [child for child in self._children if child.program.stage == stage]
            running = [child.process for child in children if child.process is not None]
            for process in running:
                process.terminate()
            grace_s = max(child.program.grace_s for child in children)
            deadline = time.monotonic() + grace_s
            for process in running:
                process.join(max(deadline - time.monotonic(), 0.0))
                if process.is_alive():
                    log.warning("process_killed", pid=process.pid, after_s=grace_s)
                    process.kill()
                    process.join()


def _enter_child(program: Program, parent: int, lifeline: tuple[int, int]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)
    end, parents_end = lifeline
    os.close(parents_end)
    threading.Thread(target=_outlive, args=(end, program.grace_s), name="lifeline", daemon=True).start()
    try:
        program.run()
    except HomeportError as error:
        log.error("process_failed", program=program.name, error=str(error), hint=error.hint)  # noqa: TRY400 - the sentence says it all
        sys.exit(1)


def _outlive(lifeline: int, grace_s: float) -> None:
    """End this process when its parent has been gone for the grace period, as the parent would have."""
    # Nobody writes to it: the read ends when the parent, who alone has the other end, is gone.
    os.read(lifeline, 1)
    time.sleep(grace_s)
    log.warning("process_killed", pid=os.getpid(), after_s=grace_s)
    os.kill(os.getpid(), signal.SIGKILL)


def is_listening(host: str, port: int) -> bool:
    """Tell whether somebody accepts connections at the address."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((target, port), timeout=1.0):
            return True
    except OSError:
        return False
