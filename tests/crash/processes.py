"""What the kernel tells about a server's processes."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
_MIN_FIELDS = 10


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children that run."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def listeners(pids: Iterable[int], port: int) -> Sequence[int]:
    """Return those of the processes that listen on the port."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    return [pid for pid in pids if sockets & _open_files(pid)]


def is_there(pid: int) -> bool:
    """Tell whether the process is there; one that ended is, until its parent has taken note.

    Only then are all of its threads gone, and with them its sockets.
    """
    return Path(f"/proc/{pid}").exists()


def memory_bytes(pid: int) -> int:
    """Return the proportional memory of the process (PSS), 0 when it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _listening(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if len(fields) >= _MIN_FIELDS and fields[3] == _LISTEN and int(fields[1][-4:], 16) == port:
                inodes.add(fields[9])
    return inodes


def _open_files(pid: int) -> set[str]:
    files = set()
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                files.add(str(link.readlink()))
    return files
