"""Labels, each change with its audit record."""

import re
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.control.changes import Change, record_change
from homeport.control.errors import BadRequestError, ConflictError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.engine import Database
from homeport.db.labels import (
    LabelText,
    StoredLabel,
    add_label,
    change_label,
    delete_label,
    find_label,
    list_labels,
    lock_label,
)
from homeport.db.projects import find_project, lock_project
from homeport.rules.listing import ListQuery

_MAX_ID = 2**63 - 1
_MAX_NAME = 128
_MAX_DESCRIPTION = 4096
_COLOR = re.compile(r"(?:#[0-9A-Fa-f]{3,8}|[a-z]{3,15})?")


class Labels:
    """The labels; callers have checked the rights."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, project_id: int | None, query: ListQuery, name_part: str
    ) -> tuple[list[StoredLabel], int]:
        """Return a page of the project's labels, or of the global ones. Raises QueryInvalidError."""
        return await self._database.read(list_labels, project_id, query, name_part)

    async def find(self, label_id: int) -> StoredLabel | None:
        """Return the label with that id, or None."""
        if not 0 < label_id <= _MAX_ID:
            return None
        return await self._database.read(find_label, label_id)

    async def add(self, actor: Actor, project_id: int | None, wanted: LabelText) -> int:
        """Make the label and return its id. Raises BadRequestError, ConflictError, NotFoundError."""
        _check(wanted)
        return await self._database.write(_add, actor, project_id, wanted)

    async def change(self, actor: Actor, label_id: int, wanted: LabelText) -> None:
        """Change the label. Raises BadRequestError, ConflictError, NotFoundError."""
        _check(wanted)
        await self._database.write(_change, actor, label_id, wanted)

    async def delete(self, actor: Actor, label_id: int) -> None:
        """Delete the label. Raises NotFoundError."""
        await self._database.write(_delete, actor, label_id)


def _check(wanted: LabelText) -> None:
    name = wanted.name
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or not name.strip():
        raise BadRequestError(f"a label's name has 1 to {_MAX_NAME} printable characters")
    if len(wanted.description) > _MAX_DESCRIPTION or "\0" in wanted.description:
        raise BadRequestError(f"a label's description has at most {_MAX_DESCRIPTION} characters")
    if _COLOR.fullmatch(wanted.color) is None:
        raise BadRequestError("a label's color is written as #RRGGBB")


def _add(connection: Connection, actor: Actor, project_id: int | None, wanted: LabelText) -> int:
    if project_id is not None and not lock_project(connection, project_id):
        raise NotFoundError(f"there is no project {project_id}")
    label_id = add_label(connection, project_id, wanted, datetime.now(UTC))
    if label_id is None:
        raise ConflictError(f"there is a label {wanted.name} already")
    target = _target(connection, project_id, wanted)
    record_change(connection, actor, Change("create_label", target, after=_facts(wanted)))
    return label_id


def _change(connection: Connection, actor: Actor, label_id: int, wanted: LabelText) -> None:
    known = _locked(connection, label_id)
    if not change_label(connection, label_id, wanted, datetime.now(UTC)):
        raise ConflictError(f"there is a label {wanted.name} already")
    target = _target(connection, known.project_id, wanted)
    change = Change("update_label", target, _facts(known.text), _facts(wanted))
    record_change(connection, actor, change)


def _delete(connection: Connection, actor: Actor, label_id: int) -> None:
    known = _locked(connection, label_id)
    delete_label(connection, label_id)
    target = _target(connection, known.project_id, known.text)
    record_change(connection, actor, Change("delete_label", target, before=_facts(known.text)))


def _locked(connection: Connection, label_id: int) -> StoredLabel:
    known = lock_label(connection, label_id)
    if known is None:
        raise NotFoundError(f"there is no label {label_id}")
    return known


def _target(connection: Connection, project_id: int | None, text: LabelText) -> Target:
    project = None if project_id is None else find_project(connection, project_id)
    return Target(project=None if project is None else project.name, reference=text.name)


def _facts(text: LabelText) -> dict[str, object]:
    """Return what an audit record says of a label."""
    return {"name": text.name, "description": text.description, "color": text.color}
