"""`homeport audit`: list, export and verify the records of who did what, when and from where."""

import asyncio
import json
import os
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.config import Settings
    from homeport.control.audit_verification import StreamSummary
    from homeport.db.audit import AuditFilter, AuditRecord
    from homeport.rules.audit_chain import Finding

_FAULTY = 1

audit = typer.Typer(invoke_without_command=True)

_AGE = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str) -> datetime:
    """Return the moment of an ISO 8601 text (UTC unless it says otherwise) or an age such as 15m, 2h, 7d."""
    age = _AGE.fullmatch(text)
    if age is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-11-24, 2026-11-24T10:00:00Z, 15m, 2h or 7d") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


_MOMENT = "2h, 7d or 2026-11-24T10:00:00Z"


_Since = Annotated[
    datetime | None, typer.Option(parser=parse_moment, metavar="TIME", help=f"not before: {_MOMENT}")
]
_Until = Annotated[
    datetime | None, typer.Option(parser=parse_moment, metavar="TIME", help=f"before: {_MOMENT}")
]
_Operation = Annotated[str | None, typer.Option(help="pull, push, delete, login, denial, update_user ...")]
_Outcome = Annotated[str | None, typer.Option(help="success, failure or denied")]
_Principal = Annotated[str | None, typer.Option(help="name of the account")]
_Address = Annotated[str | None, typer.Option(help="client address")]
_Project = Annotated[str | None, typer.Option(help="name of the project")]
_Repository = Annotated[str | None, typer.Option(help="PROJECT/NAME")]
_Digest = Annotated[str | None, typer.Option(help="sha256:...")]
_RequestId = Annotated[str | None, typer.Option(help="id of one request")]
_Data = Annotated[Path | None, typer.Option(metavar="DIR", help="data directory of the server")]
_Url = Annotated[str | None, typer.Option(metavar="URL", help="the server's database")]


@audit.callback()
def list_records(
    context: typer.Context,
    *,
    since: _Since = None,
    until: _Until = None,
    operation: _Operation = None,
    outcome: _Outcome = None,
    principal: _Principal = None,
    address: _Address = None,
    project: _Project = None,
    repository: _Repository = None,
    digest: _Digest = None,
    request_id: _RequestId = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, the newest")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
    data: _Data = None,
    database_url: _Url = None,
) -> None:
    """List audit records, the newest last. Works while the server runs and while it does not.

    `homeport audit` without a command lists, too.

    Example: homeport audit list --since 2h --operation push --project library
    """
    if context.invoked_subcommand is not None:
        return
    from homeport.app import read_audit
    from homeport.config import load_settings
    from homeport.db.audit import AuditFilter

    wanted = AuditFilter(
        since=since,
        until=until,
        operation=operation,
        outcome=outcome,
        principal=principal,
        client_address=address,
        project=project,
        repository=repository,
        digest=digest,
        request_id=request_id,
    )
    settings = load_settings(data=data, database_url=database_url)
    records = asyncio.run(read_audit(settings, wanted, limit))
    records.reverse()
    if as_json:
        from homeport.control.audit_formats import as_json_line

        for number, record in records:
            sys.stdout.write(as_json_line(number, record))
    else:
        _print_table(records)


audit.command("list")(list_records)


@audit.command()
def export(
    *,
    format_name: Annotated[str, typer.Option("--format", help="jsonl or csv")] = "jsonl",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file to write")] = None,
    since: _Since = None,
    until: _Until = None,
    operation: _Operation = None,
    outcome: _Outcome = None,
    principal: _Principal = None,
    address: _Address = None,
    project: _Project = None,
    repository: _Repository = None,
    digest: _Digest = None,
    request_id: _RequestId = None,
    data: _Data = None,
    database_url: _Url = None,
) -> None:
    """Write audit records as JSON Lines or CSV, the oldest first, to a file or to standard output.

    A file appears under its name only when it is complete.

    Example: homeport audit export --since 2026-11-01 --until 2026-12-01 --format csv -o november.csv
    """
    from homeport.config import load_settings
    from homeport.db.audit import AuditFilter

    wanted = AuditFilter(
        since=since,
        until=until,
        operation=operation,
        outcome=outcome,
        principal=principal,
        client_address=address,
        project=project,
        repository=repository,
        digest=digest,
        request_id=request_id,
    )
    settings = load_settings(data=data, database_url=database_url)
    if output is None:
        asyncio.run(_export(settings, wanted, format_name, sys.stdout))
        return
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            asyncio.run(_export(settings, wanted, format_name, file))
        draft.replace(output)
    except OSError as error:
        raise HomeportError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


async def _export(settings: "Settings", wanted: "AuditFilter", format_name: str, file: TextIO) -> None:
    from homeport.app import opened_audit

    async with opened_audit(settings) as tools:
        async for part in tools.export(wanted, format_name):
            file.write(part)


@audit.command()
def verify(
    *,
    stream: Annotated[int | None, typer.Option(help="only this stream")] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(metavar="FILE", help="checkpoints kept elsewhere, instead of the server's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
    data: _Data = None,
    database_url: _Url = None,
) -> None:
    """Look for audit records that were changed, deleted, inserted or reordered; exits with 1 when there are.

    Example: homeport audit verify
    """
    from homeport.config import load_settings

    settings = load_settings(data=data, database_url=database_url)
    summaries, count = asyncio.run(_verify(settings, stream, checkpoints, as_json=as_json))
    for summary in summaries:
        if as_json:
            print(json.dumps({"kind": "stream", **asdict(summary)}))
        else:
            print(
                f"stream {summary.stream}: {summary.records} records,"
                f" {summary.first_sequence} to {summary.last_sequence}, signed up to {summary.signed_up_to}"
            )
    if count:
        raise typer.Exit(_FAULTY)
    if not as_json:
        print("The audit records are complete and unchanged.")


async def _verify(
    settings: "Settings", stream: int | None, checkpoints: Path | None, *, as_json: bool
) -> "tuple[list[StreamSummary], int]":
    from homeport.app import opened_audit

    count = 0
    async with opened_audit(settings) as tools:
        verification = tools.verification(checkpoints)
        async for finding in verification.run(stream):
            count += 1
            _print_finding(finding, as_json=as_json)
    return verification.summaries, count


def _print_finding(finding: "Finding", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"kind": "finding", **asdict(finding)}))
        return
    where = "" if finding.stream is None else f" stream {finding.stream}"
    where += "" if finding.sequence is None else f" sequence {finding.sequence}"
    where += "" if finding.record_id is None else f" record {finding.record_id}"
    print(f"{finding.fault.upper()}:{where}: {finding.explanation}")


def _print_table(records: "list[tuple[int, AuditRecord]]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("time", "operation", "outcome", "principal", "from", "what", "digest"):
        table.add_column(title, overflow="fold")
    for _, record in records:
        what = record.repository or ""
        if record.reference and record.reference != record.digest:
            what += f":{record.reference}" if record.operation != "mount" else f" < {record.reference}"
        cells = (
            record.recorded_at.strftime("%Y-%m-%d %H:%M:%S"),
            record.operation,
            record.outcome,
            record.principal,
            record.client_address,
            what or record.detail or "",
            (record.digest or "")[:19],
        )
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    Console().print(table)


def _printable(text: str) -> str:
    """Return the text without control characters, which clients could use to fool a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
