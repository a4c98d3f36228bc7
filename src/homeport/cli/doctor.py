"""`homeport doctor`: look for everything that is lost, damaged or half made."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from homeport.cli import EXIT_FAILED
from homeport.registry.findings import Finding
from homeport.registry.inspection import InspectionListener, Report


def doctor(
    *,
    content: Annotated[
        bool, typer.Option("--content", help="read every blob and compare it with its digest")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="data directory of the server")] = None,
    database_url: Annotated[str | None, typer.Option(metavar="URL", help="the server's database")] = None,
    storage: Annotated[str | None, typer.Option(metavar="STORE", help="the server's store: dir:PATH")] = None,
) -> None:
    """Check that nothing is lost, damaged or half made, and say what to do about what is.

    Works while the server runs and while it does not, and changes nothing.
    Ends with 0 when all is well and with 1 when something is damaged.

    Example: homeport doctor --data /var/lib/homeport --content
    """
    from homeport.app import inspect_data
    from homeport.config import load_settings

    settings = load_settings(data=data, database_url=database_url, storage=storage)
    with _listening(is_quiet=as_json) as listener:
        report = asyncio.run(inspect_data(settings, listener, reads_content=content))
    if as_json:
        _print_json(report)
    else:
        _print_summary(report, reads_content=content)
    if not report.is_healthy:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _listening(*, is_quiet: bool) -> Iterator[InspectionListener]:
    """Print findings as they are made; show progress on a terminal, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=is_quiet or not sys.stderr.isatty()) as progress:

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        def on_finding(finding: Finding) -> None:
            if not is_quiet:
                print("\n".join(_lines(finding)), flush=True)

        yield InspectionListener(on_finding, on_progress)


def _lines(finding: Finding) -> Iterator[str]:
    kind = "damage" if finding.is_damage else "note"
    yield _printable(f"{kind}: {finding.subject}: {finding.message}")
    yield f"  {finding.advice}"


def _print_summary(report: Report, *, reads_content: bool) -> None:
    counts = report.counts
    print(
        f"{counts.projects} projects, {counts.repositories} repositories, {counts.manifests} manifests,"
        f" {counts.tags} tags, {counts.blobs} blobs with {counts.blob_bytes} bytes"
    )
    if report.is_healthy:
        print(
            "Nothing is lost or damaged." + ("" if reads_content else " (--content also reads every blob.)")
        )
    else:
        print(f"{report.damages} damages found.")


def _print_json(report: Report) -> None:
    document = {
        "healthy": report.is_healthy,
        "counts": asdict(report.counts),
        "damages": report.damages,
        "notes": report.notes,
        "findings": [
            {
                "kind": finding.kind,
                "damage": finding.is_damage,
                "subject": finding.subject,
                "message": finding.message,
                "advice": finding.advice,
            }
            for finding in report.findings
        ],
    }
    print(json.dumps(document, indent=2))


def _printable(text: str) -> str:
    """Return the text without control characters, which clients could use to fool a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
