"""The few places where SQLite and PostgreSQL spell the same thing differently."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Executable, Select, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_or_keep(
    connection: Connection, table: Table, rows: Mapping[str, Any] | list[dict[str, Any]]
) -> None:
    """Insert the rows; those whose key exists already stay as they are."""
    connection.execute(_keeping_insert(connection.dialect.name, table), rows)


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> int | None:
    """Insert the row and return its id; None, and nothing changed, when one of its keys exists already."""
    statement = _insert(connection.dialect.name, table).on_conflict_do_nothing().returning(table.c.id)
    made: int | None = connection.execute(statement, row).scalar()
    return made


def insert_or_replace(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert the row, or overwrite the one with the same primary key."""
    connection.execute(_replacing_insert(connection.dialect.name, table, tuple(row)), row)


def locked(connection: Connection, statement: Select[Any]) -> Select[Any]:
    """Return the statement with FOR UPDATE where the database has it; SQLite has one writer anyway."""
    return statement.with_for_update() if connection.dialect.name == "postgresql" else statement


# Statements are built once: building one takes longer than SQLite takes to run it.


@cache
def _keeping_insert(dialect: str, table: Table) -> Executable:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _replacing_insert(dialect: str, table: Table, columns: tuple[str, ...]) -> Executable:
    statement = _insert(dialect, table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _insert(dialect: str, table: Table) -> "postgresql.Insert | sqlite.Insert":
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
