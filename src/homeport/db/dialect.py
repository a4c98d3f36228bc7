"""The few places where SQLite and PostgreSQL spell the same thing differently."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_or_keep(
    connection: Connection, table: Table, rows: Mapping[str, Any] | list[dict[str, Any]]
) -> None:
    """Insert the rows; those whose key exists already stay as they are."""
    connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def insert_or_replace(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert the row, or overwrite the one with the same primary key."""
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in row if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), row)


def locked(connection: Connection, statement: Select[Any]) -> Select[Any]:
    """Return the statement with FOR UPDATE where the database has it; SQLite has one writer anyway."""
    return statement.with_for_update() if connection.dialect.name == "postgresql" else statement


def _insert(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
