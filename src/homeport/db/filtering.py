"""Turns a parsed list query into SQL, over the columns that a list allows."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Integer, Select, and_, func, select

from homeport.db.schema import Timestamp
from homeport.rules.listing import Condition, ListQuery, Match, QueryInvalidError

_NUMBERS_END = 2**63

Columns = Mapping[str, ColumnElement[Any]]


def filtered(statement: Select[Any], query: ListQuery, columns: Columns) -> Select[Any]:
    """Return the statement restricted by the query's conditions. Raises QueryInvalidError."""
    for condition in query.conditions:
        column = columns.get(condition.key)
        if column is None:
            raise QueryInvalidError(
                f"the list cannot be filtered by {condition.key!r}", hint=f"use {', '.join(sorted(columns))}"
            )
        statement = statement.where(_compare(column, condition))
    return statement


def fetch_page(
    connection: Connection,
    statement: Select[Any],
    query: ListQuery,
    columns: Columns,
    *default: ColumnElement[Any],
) -> tuple[list[Any], int]:
    """Return the rows of the query's page, sorted, and how many there are on all pages."""
    matching = filtered(statement, query, columns)
    total = connection.execute(
        select(func.count()).select_from(matching.order_by(None).subquery())
    ).scalar_one()
    return fetch_rows(connection, matching, query, columns, *default), total


def fetch_rows(
    connection: Connection,
    matching: Select[Any],
    query: ListQuery,
    columns: Columns,
    *default: ColumnElement[Any],
) -> list[Any]:
    """Return the rows of the query's page, sorted; the statement is filtered already."""
    for order in query.orders:
        column = columns.get(order.key)
        if column is None:
            raise QueryInvalidError(
                f"the list cannot be sorted by {order.key!r}", hint=f"use {', '.join(sorted(columns))}"
            )
        matching = matching.order_by(column.desc() if order.is_descending else column.asc())
    rows = connection.execute(
        matching.order_by(*default).limit(query.page_size).offset(query.offset)
    ).fetchall()
    return list(rows)


def _compare(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    values = condition.values
    match condition.match:
        case Match.EXACT:
            return column.in_([_value(column, values[0])])
        case Match.FUZZY:
            return column.icontains(values[0], autoescape=True)
        case Match.RANGE:
            low, high = values
            bounds: list[ColumnElement[bool]] = []
            if low:
                bounds.append(column >= _value(column, low))
            if high:
                bounds.append(column <= _value(column, high))
            if not bounds:
                raise QueryInvalidError(f"the range of {condition.key!r} has no end")
            return and_(*bounds)
        case Match.ANY | Match.ALL:
            return column.in_([_value(column, value) for value in values])


def _value(column: ColumnElement[Any], text: str) -> Any:
    """Return the text as a value of the column's type."""
    kind = column.type
    if isinstance(kind, Timestamp):
        return parse_moment(text)
    if isinstance(kind, Boolean):
        if text.lower() not in {"true", "false", "1", "0"}:
            raise QueryInvalidError(f"{text!r} is neither true nor false")
        return text.lower() in {"true", "1"}
    if isinstance(kind, Integer):
        try:
            number = int(text)
        except ValueError:
            raise QueryInvalidError(f"{text[:64]!r} is no number") from None
        if abs(number) >= _NUMBERS_END:
            raise QueryInvalidError(f"{text[:64]!r} is too large a number")
        return number
    return text


def parse_moment(text: str) -> datetime:
    """Return the moment of a query: ISO 8601, UTC unless it says otherwise, or seconds since 1970.

    Raises QueryInvalidError.
    """
    try:
        moment = (
            datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text.strip())
        )
    except (ValueError, OverflowError, OSError):
        raise QueryInvalidError(f"{text!r} is no time", hint="write 2026-11-24 10:00:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
