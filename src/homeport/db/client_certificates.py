"""Which accounts client certificates stand for."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, insert, or_, select

from homeport.db.schema import client_certificate


@dataclass(frozen=True, slots=True)
class StoredCertificateName:
    """A name in certificates and whose it is: a user's or a robot's; field is `subject` or `san`."""

    id: int
    field: str
    value: str
    user_id: int | None
    robot_id: int | None
    created_at: datetime


_ALL = select(
    client_certificate.c.id,
    client_certificate.c.field,
    client_certificate.c.value,
    client_certificate.c.user_id,
    client_certificate.c.robot_id,
    client_certificate.c.created_at,
).order_by(client_certificate.c.id)


def list_certificate_names(connection: Connection) -> list[StoredCertificateName]:
    """Return every name."""
    return [StoredCertificateName(*row) for row in connection.execute(_ALL)]


def find_certificate_names(
    connection: Connection, subject: str, alternatives: Collection[str]
) -> list[StoredCertificateName]:
    """Return the names that stand in a certificate with this subject and these alternative names."""
    wanted = (client_certificate.c.field == "subject") & (client_certificate.c.value == subject)
    others = (client_certificate.c.field == "san") & client_certificate.c.value.in_(list(alternatives))
    return [StoredCertificateName(*row) for row in connection.execute(_ALL.where(or_(wanted, others)))]


def add_certificate_name(
    connection: Connection, field: str, value: str, *, user_id: int | None, robot_id: int | None
) -> int | None:
    """Add a name and return its id, or None when somebody has it already."""
    taken = exists().where(client_certificate.c.field == field, client_certificate.c.value == value)
    if connection.execute(select(taken)).scalar():
        return None
    key = connection.execute(
        insert(client_certificate).values(
            field=field, value=value, user_id=user_id, robot_id=robot_id, created_at=datetime.now(UTC)
        )
    ).inserted_primary_key
    return int(key[0]) if key is not None else None


def delete_certificate_name(connection: Connection, name_id: int) -> StoredCertificateName | None:
    """Delete a name and return it, or None if there is none."""
    row = connection.execute(_ALL.where(client_certificate.c.id == name_id)).first()
    if row is None:
        return None
    connection.execute(delete(client_certificate).where(client_certificate.c.id == name_id))
    return StoredCertificateName(*row)
