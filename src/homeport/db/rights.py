"""What accounts may do, gathered from memberships, groups and roles."""

import json

from sqlalchemy import Connection, bindparam, or_, select

from homeport.db.schema import project_member, role, user_group_member
from homeport.rules.permissions import ProjectGrant, Rights
from homeport.rules.roles import (
    AUDITOR_PROJECT_PERMISSIONS,
    AUDITOR_SYSTEM_PERMISSIONS,
    ROLE_PERMISSIONS,
    ProjectRole,
)

_BUILT_IN = {int(built_in): permissions for built_in, permissions in ROLE_PERMISSIONS.items()}
FIRST_CUSTOM_ROLE = max(ProjectRole) + 1


_GROUPS = select(user_group_member.c.group_id).where(user_group_member.c.user_id == bindparam("user"))
_MEMBERSHIPS = (
    select(
        project_member.c.project_id,
        project_member.c.role_id,
        project_member.c.repository_pattern,
        role.c.permissions,
    )
    .outerjoin(role, role.c.id == project_member.c.role_id)
    .where(or_(project_member.c.user_id == bindparam("user"), project_member.c.group_id.in_(_GROUPS)))
)


def read_user_rights(connection: Connection, user_id: int, *, is_auditor: bool) -> Rights:
    """Return the rights of a user: of its own memberships and of those of its groups."""
    rows = connection.execute(_MEMBERSHIPS, {"user": user_id})
    projects: dict[int, tuple[ProjectGrant, ...]] = {}
    for project_id, role_id, pattern, custom in rows:
        permissions = _BUILT_IN.get(role_id)
        if permissions is None:
            permissions = frozenset(json.loads(custom)) if custom is not None else frozenset()
        projects[project_id] = (*projects.get(project_id, ()), ProjectGrant(permissions, pattern))
    return Rights(
        system=AUDITOR_SYSTEM_PERMISSIONS if is_auditor else frozenset(),
        projects=projects,
        every_project=(ProjectGrant(AUDITOR_PROJECT_PERMISSIONS),) if is_auditor else (),
    )
