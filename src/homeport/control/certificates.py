"""Which accounts client certificates stand for, and the records of changes."""

from collections.abc import Mapping

from sqlalchemy import Connection

from homeport.control.errors import BadRequestError, ConflictError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.audit import AuditRecord, add_records
from homeport.db.client_certificates import (
    StoredCertificateName,
    add_certificate_name,
    delete_certificate_name,
    list_certificate_names,
)
from homeport.db.engine import Database
from homeport.db.robots import find_robot
from homeport.db.users import find_user_by_id


class CertificateNames:
    """Maps names in certificates to accounts; the caller has checked the right to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names(self) -> list[StoredCertificateName]:
        """Return every name."""
        return await self._database.read(list_certificate_names)

    async def add(
        self, actor: Actor, name: tuple[str, str], *, user_id: int | None, robot_id: int | None
    ) -> int:
        """Map a name (field, value) to a user or to a robot and return the mapping's id.

        Raises BadRequestError unless exactly one account is given and exists, ConflictError when the name
        is mapped already.
        """
        if (user_id is None) == (robot_id is None):
            raise BadRequestError("give either a user or a robot")
        return await self._database.write(_add, actor, name, user_id=user_id, robot_id=robot_id)

    async def remove(self, actor: Actor, name_id: int) -> None:
        """Take a mapping away. Raises NotFoundError."""
        await self._database.write(_remove, actor, name_id)


def _add(
    connection: Connection,
    actor: Actor,
    name: tuple[str, str],
    *,
    user_id: int | None,
    robot_id: int | None,
) -> int:
    if user_id is not None and find_user_by_id(connection, user_id) is None:
        raise BadRequestError(f"there is no user {user_id}")
    if robot_id is not None and find_robot(connection, robot_id) is None:
        raise BadRequestError(f"there is no robot {robot_id}")
    name_id = add_certificate_name(connection, *name, user_id=user_id, robot_id=robot_id)
    if name_id is None:
        raise ConflictError("the name is mapped to an account already")
    change = {"added": {"field": name[0], "value": name[1], "user_id": user_id, "robot_id": robot_id}}
    add_records(connection, [_record(actor, change)])
    return name_id


def _remove(connection: Connection, actor: Actor, name_id: int) -> None:
    removed = delete_certificate_name(connection, name_id)
    if removed is None:
        raise NotFoundError(f"there is no certificate name {name_id}")
    change = {
        "removed": {
            "field": removed.field,
            "value": removed.value,
            "user_id": removed.user_id,
            "robot_id": removed.robot_id,
        }
    }
    add_records(connection, [_record(actor, change)])


def _record(actor: Actor, change: Mapping[str, Mapping[str, object]]) -> AuditRecord:
    target = Target(reference="client-certificates")
    before, after = change.get("removed"), change.get("added")
    return actor.record("update_configuration", target, before=before, after=after)
