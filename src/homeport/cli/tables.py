"""Printing what a server answered: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print the rows: as JSON, one object a line with all that is there, or these columns as a table.

    A column `a.b` is the field b of the field a.
    """
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.rpartition(".")[2].replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(_text(row, column))) for column in columns))
    Console().print(table)


def print_done(message: str, content: Mapping[str, Any], *, as_json: bool) -> None:
    """Print that something was done: a sentence for people, the facts for programs."""
    print(json.dumps(content, ensure_ascii=False) if as_json else message)


def _text(row: Mapping[str, Any], column: str) -> str:
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _printable(text: str) -> str:
    """Return the text without control characters, which could fool a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
