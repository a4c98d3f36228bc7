"""Free ports for servers that cannot pick one themselves, without races between test processes."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# below the range from which the kernel hands out ports by itself
_FIRST, _LAST = 20000, 32000
_TRIES = 500
_held: list[int] = []


def reserve_port() -> int:
    """Return a port on which nobody listens, and that no other test process gets while this one lives."""
    directory = Path(tempfile.gettempdir(), f"homeport-test-ports-{os.getuid()}")
    directory.mkdir(exist_ok=True)
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret
        lock = os.open(directory / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if _is_free(port):
            _held.append(lock)
            return port
        os.close(lock)
    raise RuntimeError(f"no free port in {_FIRST}-{_LAST} after {_TRIES} tries")


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
