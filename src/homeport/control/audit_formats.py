"""Audit records as JSON and as CSV, safe for whatever reads them."""

import csv
import io
import json
from dataclasses import fields
from typing import Any

from homeport.db.audit import AuditRecord

_FIELDS = tuple(each.name for each in fields(AuditRecord))
CSV_HEADER = ("id", *_FIELDS)

# what spreadsheets take for the start of a formula
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_document(record_id: int, record: AuditRecord) -> dict[str, Any]:
    """Return the record as a JSON object; fields without a value are left out."""
    document: dict[str, Any] = {"id": record_id}
    for name in _FIELDS:
        value = getattr(record, name)
        if value is not None:
            document[name] = value
    document["recorded_at"] = record.recorded_at.isoformat()
    for name in ("before", "after"):
        if name in document:
            document[name] = _parsed(document[name])
    return document


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def as_json_line(record_id: int, record: AuditRecord) -> str:
    """Return the record as one line of JSON in ASCII, with a line feed at its end.

    Nothing that a client sent can end the line or steer a terminal.
    """
    return json.dumps(as_document(record_id, record), separators=(",", ":")) + "\n"


def csv_line(cells: tuple[object, ...]) -> str:
    """Return a line of CSV (RFC 4180) whose cells no spreadsheet takes for formulas.

    A cell that could be one gets an apostrophe in front; control characters become escapes.
    """
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def as_csv_line(record_id: int, record: AuditRecord) -> str:
    """Return the record as a line of CSV in the order of CSV_HEADER."""
    values = [getattr(record, name) for name in _FIELDS]
    values[0] = record.recorded_at.isoformat()
    return csv_line((record_id, *values))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    guarded = f"'{text}" if text.lstrip(" \N{NO-BREAK SPACE}").startswith(_FORMULA_STARTS) else text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in guarded
    )
