"""Members of projects: users and groups with a role, for all or some of a project's repositories."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, case, cast, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from homeport.db.dialect import insert_new
from homeport.db.filtering import Columns, fetch_page
from homeport.db.schema import project_member, role, user_account, user_group
from homeport.rules.listing import ListQuery
from homeport.rules.members import ROLE_NAMES
from homeport.rules.roles import ROLE_PERMISSIONS, ProjectRole


@dataclass(frozen=True, slots=True)
class NewMember:
    """A checked member that is to be added: a user or a group."""

    project_id: int
    user_id: int | None
    group_id: int | None
    role_id: int
    repository_pattern: str


@dataclass(frozen=True, slots=True)
class StoredMember:
    """A member; one of `user_id` and `group_id` is None."""

    id: int
    project_id: int
    user_id: int | None
    group_id: int | None
    entity_name: str
    role_id: int
    role_name: str
    repository_pattern: str


_ENTITY_NAME = func.coalesce(user_account.c.username, user_group.c.name, type_=String())
_ROLE_NAME = case(
    *((project_member.c.role_id == role_id, name) for role_id, name in ROLE_NAMES.items()),
    else_=func.coalesce(role.c.name, ""),
)
_STORED = (
    select(
        project_member.c.id,
        project_member.c.project_id,
        project_member.c.user_id,
        project_member.c.group_id,
        _ENTITY_NAME,
        project_member.c.role_id,
        cast(_ROLE_NAME, String),
        project_member.c.repository_pattern,
    )
    .select_from(project_member)
    .outerjoin(user_account, user_account.c.id == project_member.c.user_id)
    .outerjoin(user_group, user_group.c.id == project_member.c.group_id)
    .outerjoin(role, role.c.id == project_member.c.role_id)
)
_COLUMNS: Columns = {
    "id": project_member.c.id,
    "entity_name": _ENTITY_NAME,
    "entity_id": func.coalesce(project_member.c.user_id, project_member.c.group_id),
    "role_id": project_member.c.role_id,
}


def list_members(
    connection: Connection, project_id: int, query: ListQuery, name_part: str
) -> tuple[list[StoredMember], int]:
    """Return a page of the project's members and how many there are. Raises QueryInvalidError."""
    statement = _STORED.where(project_member.c.project_id == project_id)
    if name_part:
        statement = statement.where(_ENTITY_NAME.icontains(name_part, autoescape=True))
    rows, total = fetch_page(connection, statement, query, _COLUMNS, project_member.c.id)
    return [_as_stored(row) for row in rows], total


def find_member(connection: Connection, project_id: int, member_id: int) -> StoredMember | None:
    """Return the member with that id when it is one of the project, or None."""
    row = connection.execute(
        _STORED.where(project_member.c.project_id == project_id, project_member.c.id == member_id)
    ).first()
    return None if row is None else _as_stored(row)


def add_member(connection: Connection, new: NewMember, now: datetime) -> int | None:
    """Add the member and return its id, or None when it is one already for the same repositories."""
    row = {
        "project_id": new.project_id,
        "user_id": new.user_id,
        "group_id": new.group_id,
        "role_id": new.role_id,
        "repository_pattern": new.repository_pattern,
        "created_at": now,
    }
    return insert_new(connection, project_member, row)


def change_member(connection: Connection, member_id: int, role_id: int, repository_pattern: str) -> bool:
    """Give the member another role or pattern; False when it is a member with that pattern already."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(
            update(project_member)
            .where(project_member.c.id == member_id)
            .values(role_id=role_id, repository_pattern=repository_pattern)
        )
    except IntegrityError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def remove_member(connection: Connection, member_id: int) -> None:
    """End the membership."""
    connection.execute(delete(project_member).where(project_member.c.id == member_id))


def count_administrators(connection: Connection, project_id: int) -> int:
    """Return how many members, users and groups, administer the whole project."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(project_member)
            .where(
                project_member.c.project_id == project_id,
                project_member.c.role_id == int(ProjectRole.PROJECT_ADMIN),
                project_member.c.repository_pattern == "",
            )
        ).scalar_one()
    )


def count_by_role(connection: Connection, project_id: int) -> dict[int, int]:
    """Return how many members the project has in each role."""
    rows = connection.execute(
        select(project_member.c.role_id, func.count())
        .where(project_member.c.project_id == project_id)
        .group_by(project_member.c.role_id)
    )
    return {row[0]: row[1] for row in rows}


def permissions_of_role(connection: Connection, role_id: int) -> frozenset[str] | None:
    """Return what the role permits, or None when there is no such role.

    A custom role is locked until the transaction ends, so that it is not deleted while somebody gets it.
    """
    if role_id in ROLE_NAMES:
        return ROLE_PERMISSIONS[ProjectRole(role_id)]
    statement = select(role.c.permissions).where(role.c.id == role_id)
    if connection.dialect.name == "postgresql":
        statement = statement.with_for_update(read=True)
    text: str | None = connection.execute(statement).scalar()
    return None if text is None else frozenset(json.loads(text))


def _as_stored(row: Sequence[Any]) -> StoredMember:
    return StoredMember(*row)
