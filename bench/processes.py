"""What a server costs: processor time and memory of a process and all its children, from /proc."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_SETTLE_STEP_S = 0.25
_SETTLED_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree in bytes.

    `rss_bytes` counts a page once per process that maps it; `pss_bytes` shares it out among them, so it is
    what the tree takes from the machine.
    """

    rss_bytes: int
    pss_bytes: int
    processes: int


def process_tree(root: int) -> list[int]:
    """Return the process and all that descend from it; one that ends meanwhile may be missing."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all_stats():
        children.setdefault(int(fields[1]), []).append(pid)
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def cpu_seconds(root: int) -> float:
    """Return the processor time that the tree has used so far, that of its ended children included."""
    ticks = 0
    for pid in process_tree(root):
        with suppress(OSError):
            # utime, stime, cutime, cstime: proc(5) counts from 1 with the name, here from 0 after it.
            ticks += sum(int(value) for value in _stat(pid)[11:15])
    return ticks / _TICKS_PER_S


def settle(root: int, timeout_s: float = 10.0) -> None:
    """Wait until the tree has next to nothing to do, so that its late work does not disturb others."""
    end = time.monotonic() + timeout_s
    before = cpu_seconds(root)
    while time.monotonic() < end:
        time.sleep(_SETTLE_STEP_S)
        after = cpu_seconds(root)
        if after - before <= _SETTLE_STEP_S * _SETTLED_SHARE:
            return
        before = after


def memory(root: int) -> Memory:
    """Return the memory of the tree as it is now."""
    rss_kib = pss_kib = processes = 0
    for pid in process_tree(root):
        with suppress(OSError):
            fields = dict(
                line.split(":", 1)
                for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
            )
            rss_kib += int(fields["Rss"].split()[0])
            pss_kib += int(fields["Pss"].split()[0])
            processes += 1
    return Memory(rss_kib * 1024, pss_kib * 1024, processes)


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), _stat(int(entry.name))


def _stat(pid: int) -> list[str]:
    # The name stands in parentheses and may itself hold some; what follows the last one is plain.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
