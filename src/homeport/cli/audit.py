"""`homeport audit`: list what was pulled, pushed, deleted and denied, by whom and from where."""

import asyncio
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from homeport.db.audit import AuditRecord

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


def audit(
    *,
    since: Annotated[
        datetime | None, typer.Option(parser=parse_moment, metavar="TIME", help=f"not before: {_MOMENT}")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=parse_moment, metavar="TIME", help=f"before: {_MOMENT}")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="pull, push, delete, mount, login or denial")] = None,
    outcome: Annotated[str | None, typer.Option(help="success, failure or denied")] = None,
    principal: Annotated[str | None, typer.Option(help="name of the account")] = None,
    address: Annotated[str | None, typer.Option(help="client address")] = None,
    project: Annotated[str | None, typer.Option(help="name of the project")] = None,
    repository: Annotated[str | None, typer.Option(help="PROJECT/NAME")] = None,
    digest: Annotated[str | None, typer.Option(help="sha256:...")] = None,
    request_id: Annotated[str | None, typer.Option(help="id of one request")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, the newest")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="data directory of the server")] = None,
    database_url: Annotated[str | None, typer.Option(metavar="URL", help="the server's database")] = None,
) -> None:
    """List audit records, the newest last. Works while the server runs and while it does not.

    Example: homeport audit --since 2h --operation push --project library
    """
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
        for number, record in records:
            row = {"id": number, **asdict(record), "recorded_at": record.recorded_at.isoformat()}
            print(json.dumps(row, ensure_ascii=False))
    else:
        _print_table(records)


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
