"""The permissions of Harbor's project roles and what robots may be granted (facts of Harbor 2.16).

A permission is a text `resource:action`; the resource `.` is the project itself.
"""

from collections.abc import Mapping
from enum import IntEnum


def _permissions(actions: Mapping[str, str]) -> frozenset[str]:
    return frozenset(
        f"{resource}:{action}" for resource, names in actions.items() for action in names.split()
    )


class ProjectRole(IntEnum):
    """The five roles that every project has, by the ids that Harbor's API uses."""

    PROJECT_ADMIN = 1
    DEVELOPER = 2
    GUEST = 3
    MAINTAINER = 4
    LIMITED_GUEST = 5


ROLE_PERMISSIONS: Mapping[ProjectRole, frozenset[str]] = {
    ProjectRole.PROJECT_ADMIN: _permissions(
        {
            ".": "read update delete",
            "member": "create read update delete list",
            "metadata": "create read update delete",
            "log": "list",
            "label": "create read update delete list",
            "quota": "read",
            "repository": "create read update delete list pull push",
            "tag-retention": "create read update delete list operate",
            "immutable-tag": "create update delete list",
            "configuration": "read update",
            "robot": "create read update delete list",
            "notification-policy": "create update delete list read",
            "scan": "create read stop",
            "sbom": "create stop read",
            "scanner": "read create",
            "artifact": "create read delete list",
            "artifact-addition": "read",
            "tag": "list create delete",
            "accessory": "list",
            "artifact-label": "create delete",
            "preheat-policy": "create read update delete list",
            "export-cve": "create read list",
        }
    ),
    ProjectRole.MAINTAINER: _permissions(
        {
            ".": "read",
            "member": "read list",
            "metadata": "read",
            "quota": "read",
            "label": "create read update delete list",
            "repository": "create read update delete list push pull",
            "tag-retention": "create read update delete list operate",
            "accessory": "list",
            "immutable-tag": "create update delete list",
            "configuration": "read",
            "robot": "read list",
            "notification-policy": "read list",
            "scan": "create read stop",
            "sbom": "create stop read",
            "scanner": "read",
            "artifact": "create read delete list",
            "artifact-addition": "read",
            "tag": "list create delete",
            "artifact-label": "create delete",
            "export-cve": "create read list",
        }
    ),
    ProjectRole.DEVELOPER: _permissions(
        {
            ".": "read",
            "member": "read list",
            "label": "read list",
            "quota": "read",
            "repository": "create read update list push pull",
            "tag-retention": "create read update delete list operate",
            "configuration": "read",
            "robot": "read list",
            "scan": "read",
            "sbom": "read",
            "scanner": "read",
            "artifact": "create read list",
            "artifact-addition": "read",
            "tag": "list create",
            "accessory": "list",
            "artifact-label": "create delete",
            "export-cve": "create read list",
        }
    ),
    ProjectRole.GUEST: _permissions(
        {
            ".": "read",
            "member": "read list",
            "label": "read list",
            "quota": "read",
            "repository": "read list pull",
            "configuration": "read",
            "robot": "read list",
            "scan": "read",
            "sbom": "read",
            "scanner": "read",
            "tag": "list",
            "accessory": "list",
            "artifact": "read list",
            "artifact-addition": "read",
        }
    ),
    ProjectRole.LIMITED_GUEST: _permissions(
        {
            ".": "read",
            "quota": "read",
            "repository": "list read pull",
            "configuration": "read",
            "scan": "read",
            "sbom": "read",
            "scanner": "read",
            "tag": "list",
            "accessory": "list",
            "artifact": "read list",
            "artifact-addition": "read",
        }
    ),
}

ROBOT_SYSTEM_PERMISSIONS = _permissions(
    {
        "audit-log": "list",
        "preheat-instance": "read create delete list update",
        "project": "list create",
        "replication-policy": "read create delete list update",
        "replication": "read create list",
        "replication-adapter": "list",
        "registry": "read create delete list update",
        "scan-all": "read update stop create",
        "system-volumes": "read",
        "garbage-collection": "read create list update stop",
        "purge-audit": "read create list update stop",
        "jobservice-monitor": "list stop",
        "scanner": "read create delete list update",
        "label": "read create delete update",
        "security-hub": "read list",
        "catalog": "read",
        "quota": "read list",
    }
)

ROBOT_PROJECT_PERMISSIONS = _permissions(
    {
        "log": "list",
        "project": "read delete update",
        "metadata": "read create delete list update",
        "repository": "read update delete list pull push",
        "artifact": "read create list delete",
        "scan": "create read stop",
        "sbom": "create stop read",
        "tag": "create list delete",
        "accessory": "list",
        "artifact-addition": "read",
        "artifact-label": "create delete",
        "scanner": "create read",
        "preheat-policy": "read create delete list update",
        "immutable-tag": "create delete list update",
        "notification-policy": "read create delete list update",
        "tag-retention": "read create delete list update",
        "label": "read create delete list update",
        "quota": "read",
    }
)

# only with the setting robot_full_access
ROBOT_SYSTEM_EXTRA_PERMISSIONS = _permissions(
    {
        "robot": "create read list delete",
        "user": "create read update list delete",
        "ldap-user": "create list",
        "quota": "update",
        "user-group": "create read update list delete",
    }
)

# only with the setting robot_full_access
ROBOT_PROJECT_EXTRA_PERMISSIONS = _permissions(
    {
        "robot": "create read list delete",
        "export-cve": "create read",
        "member": "create read update list delete",
    }
)

# what anybody may do in a public project, without signing in
PUBLIC_PERMISSIONS = _permissions(
    {
        ".": "read",
        "label": "read list",
        "repository": "list pull",
        "scan": "read",
        "scanner": "read",
        "tag": "list",
        "artifact": "read list",
        "artifact-addition": "read",
        "accessory": "list",
    }
)

# a system auditor reads everything and changes nothing; images are not among what it reads
AUDITOR_SYSTEM_PERMISSIONS = _permissions(
    {
        "audit-log": "list",
        "project": "list",
        "user": "list read",
        "user-group": "list read",
        "robot": "list read",
        "quota": "list read",
        "configuration": "read",
        "label": "read",
        "registry": "list read",
        "replication-policy": "list read",
        "scanner": "list read",
        "garbage-collection": "list read",
        "security-hub": "list read",
        "system-volumes": "read",
        "jobservice-monitor": "list",
    }
)
AUDITOR_PROJECT_PERMISSIONS = _permissions(
    {
        ".": "read",
        "member": "list read",
        "metadata": "read",
        "log": "list",
        "label": "list read",
        "quota": "read",
        "repository": "list read",
        "artifact": "list read",
        "artifact-addition": "read",
        "accessory": "list",
        "tag": "list",
        "tag-retention": "list read",
        "immutable-tag": "list",
        "configuration": "read",
        "robot": "list read",
        "scan": "read",
        "scanner": "read",
        "notification-policy": "list read",
    }
)

ALL_PROJECT_PERMISSIONS = ROLE_PERMISSIONS[ProjectRole.PROJECT_ADMIN]

# all that can be asked about, for lists of what an account may do
KNOWN_PROJECT_PERMISSIONS = frozenset().union(*ROLE_PERMISSIONS.values())
KNOWN_SYSTEM_PERMISSIONS = (
    ROBOT_SYSTEM_PERMISSIONS
    | ROBOT_SYSTEM_EXTRA_PERMISSIONS
    | AUDITOR_SYSTEM_PERMISSIONS
    | _permissions({"configuration": "read update", "ldap-user": "create list"})
)
