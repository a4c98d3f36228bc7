"""Labels: those of the whole system, and those of projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import IntegrityError

from homeport.db.dialect import insert_new, locked
from homeport.db.filtering import Columns, fetch_page
from homeport.db.schema import label
from homeport.rules.listing import ListQuery


@dataclass(frozen=True, slots=True)
class LabelText:
    """What makes a label; the color is `#` and six hexadecimal digits, or empty."""

    name: str
    description: str
    color: str


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label; one without a project is global."""

    id: int
    text: LabelText
    project_id: int | None
    created_at: datetime
    updated_at: datetime


_STORED = select(
    label.c.id,
    label.c.name,
    label.c.description,
    label.c.color,
    label.c.project_id,
    label.c.created_at,
    label.c.updated_at,
)
_COLUMNS: Columns = {
    "id": label.c.id,
    "name": label.c.name,
    "description": label.c.description,
    "color": label.c.color,
    "creation_time": label.c.created_at,
    "update_time": label.c.updated_at,
}


def list_labels(
    connection: Connection, project_id: int | None, query: ListQuery, name_part: str
) -> tuple[list[StoredLabel], int]:
    """Return a page of the project's labels, or of the global ones, and how many there are."""
    owned = label.c.project_id.is_(None) if project_id is None else label.c.project_id == project_id
    statement = _STORED.where(owned)
    if name_part:
        statement = statement.where(label.c.name.icontains(name_part, autoescape=True))
    rows, total = fetch_page(connection, statement, query, _COLUMNS, label.c.id)
    return [_as_stored(row) for row in rows], total


def find_label(connection: Connection, label_id: int) -> StoredLabel | None:
    """Return the label with that id, or None."""
    row = connection.execute(_STORED.where(label.c.id == label_id)).first()
    return None if row is None else _as_stored(row)


def lock_label(connection: Connection, label_id: int) -> StoredLabel | None:
    """Return the label as it stays until the transaction ends, or None."""
    row = connection.execute(locked(connection, _STORED.where(label.c.id == label_id))).first()
    return None if row is None else _as_stored(row)


def add_label(connection: Connection, project_id: int | None, wanted: LabelText, now: datetime) -> int | None:
    """Make the label and return its id, or None when the name is taken."""
    row = {
        "name": wanted.name,
        "description": wanted.description,
        "color": wanted.color,
        "project_id": project_id,
        "created_at": now,
        "updated_at": now,
    }
    return insert_new(connection, label, row)


def change_label(connection: Connection, label_id: int, wanted: LabelText, now: datetime) -> bool:
    """Change the label; False, and nothing changed, when the name is taken."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(
            update(label)
            .where(label.c.id == label_id)
            .values(name=wanted.name, description=wanted.description, color=wanted.color, updated_at=now)
        )
    except IntegrityError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def delete_label(connection: Connection, label_id: int) -> None:
    """Delete the label and take it off everything that has it."""
    connection.execute(delete(label).where(label.c.id == label_id))


def _as_stored(row: Sequence[Any]) -> StoredLabel:
    return StoredLabel(row[0], LabelText(row[1], row[2], row[3]), row[4], row[5], row[6])
