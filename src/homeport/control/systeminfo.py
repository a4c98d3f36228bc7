"""What the server says of itself."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from homeport.control.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system that content is on; sizes in bytes."""

    total_bytes: int
    free_bytes: int


def measure_volumes(directories: tuple[Path, ...]) -> list[Volume]:
    """Return the volumes of the directories, each file system once. Raises OSError."""
    by_device = {directory.stat().st_dev: directory for directory in reversed(directories)}
    usages = (shutil.disk_usage(directory) for directory in by_device.values())
    return [Volume(usage.total, usage.free) for usage in usages]


def has_certificate(path: Path | None) -> bool:
    """Tell whether there is a root certificate for clients to download."""
    return path is not None and path.is_file()


def read_certificate(path: Path | None) -> bytes:
    """Return the root certificate that clients are to trust, PEM. Raises NotFoundError."""
    if path is None or not path.is_file():
        raise NotFoundError("the server uses no certificate authority of its own")
    return path.read_bytes()
