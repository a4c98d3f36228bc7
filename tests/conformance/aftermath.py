"""What a server looks like after bad input: its files, its rows, its processes, its memory, its log."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import HomeportServer

MAX_GROWTH_BYTES = 96 * 1024 * 1024
SETTLE_S = 5.0

_TABLES = ("project", "repository", "blob", "repository_blob", "manifest", "manifest_body", "tag")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What bad input must not change."""

    files: frozenset[str]
    rows: dict[str, int]
    processes: frozenset[int]


def footprint(server: HomeportServer) -> Footprint:
    """Return the server's blobs and uploads, the numbers of its rows, and its processes."""
    files = {
        str(path.relative_to(server.data))
        for folder in ("blobs", "uploads")
        for path in (server.data / folder).rglob("*")
        if path.is_file()
    }
    return Footprint(frozenset(files), _count_rows(server.data / "homeport.db"), processes_of(server.pid))


def processes_of(pid: int) -> frozenset[int]:
    """Return the process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, left = set(), [pid]
    while left:
        current = left.pop()
        found.add(current)
        left += children.get(current, [])
    return frozenset(found)


def memory_bytes(server: HomeportServer) -> int:
    """Return what all processes of the server hold in memory, shared pages counted once."""
    total = 0
    for pid in processes_of(server.pid):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


@contextmanager
def unharmed(server: HomeportServer) -> Iterator[None]:
    """Assert that what runs inside changes nothing, crashes nothing and costs no lasting memory."""
    before = footprint(server)
    memory_before = memory_bytes(server)
    logged_before = len(server.output)
    yield
    deadline = time.monotonic() + SETTLE_S
    while (after := footprint(server)) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert after.files == before.files
    assert after.rows == before.rows
    assert after.processes == before.processes
    logged = server.output[logged_before:]
    assert "Traceback" not in logged, logged
    assert '"level": "error"' not in logged, logged
    assert memory_bytes(server) - memory_before < MAX_GROWTH_BYTES


def _count_rows(database: Path) -> dict[str, int]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - own names
            for table in _TABLES
        }
    finally:
        connection.close()
