"""Progress of transfers: bars on a terminal, a line otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.copy import CopyProgress
from homeport.remote.plan import BlobAction, CopyPlan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class QuietProgress:
    """Shows nothing."""

    def planned(self, plan: CopyPlan) -> None:
        """Learn of the plan."""

    def started(self, blob: Descriptor) -> None:
        """Learn that the blob begins to move."""

    def advanced(self, blob: Descriptor, size_bytes: int) -> None:
        """Learn that so many more bytes are on their way."""

    def finished(self, blob: Descriptor, action: BlobAction) -> None:
        """Learn that the blob is there."""


class BarProgress:
    """One bar for all, and one for each blob that moves; both with bytes, rate and time left."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._total: TaskID | None = None
        self._bars: dict[Digest, TaskID] = {}
        self._moved: dict[Digest, int] = {}

    def planned(self, plan: CopyPlan) -> None:
        """Show the bar of all bytes that may have to move."""
        size_bytes = plan.size_bytes(BlobAction.COPY) + plan.size_bytes(BlobAction.MOUNT)
        self._total = self._progress.add_task("total", total=size_bytes)

    def started(self, blob: Descriptor) -> None:
        """Show the blob's bar."""
        name = blob.digest.encoded[:12]
        self._bars[blob.digest] = self._progress.add_task(name, total=blob.size_bytes)

    def advanced(self, blob: Descriptor, size_bytes: int) -> None:
        """Move both bars."""
        self._moved[blob.digest] = self._moved.get(blob.digest, 0) + size_bytes
        self._progress.advance(self._bars[blob.digest], size_bytes)
        if self._total is not None:
            self._progress.advance(self._total, size_bytes)

    def finished(self, blob: Descriptor, action: BlobAction) -> None:
        """Remove the blob's bar; what was mounted counts as moved."""
        bar = self._bars.pop(blob.digest, None)
        if bar is not None:
            self._progress.remove_task(bar)
        if action is BlobAction.MOUNT and self._total is not None:
            self._progress.advance(self._total, blob.size_bytes - self._moved.get(blob.digest, 0))


@contextmanager
def show_progress(console: "Console", *, quiet: bool) -> Iterator[CopyProgress]:
    """Give a progress display on the console for as long as the context lasts; none without a terminal."""
    if quiet or not console.is_terminal:
        yield QuietProgress()
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as progress:
        yield BarProgress(progress)


def size_text(size_bytes: int) -> str:
    """Return a size for people, in decimal units: `20.3 MB`."""
    if size_bytes < 1000:  # noqa: PLR2004 - decimal units
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:  # noqa: PLR2004 - would be rounded to 1000.0
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun: `1 blob`, `2 blobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
