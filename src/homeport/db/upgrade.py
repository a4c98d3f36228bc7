"""Brings a database to this version's schema."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from homeport.db.engine import Database
from homeport.errors import HomeportError

HEAD = "0002"

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x686F6D65


class SchemaTooNewError(HomeportError):
    """The database was written by a newer Homeport."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the database has schema {revision!r}, which this version of Homeport does not know",
            hint="run the newer version that made it, or restore a backup from before the upgrade",
        )


async def upgrade_database(database: Database) -> None:
    """Make the schema, or bring it up to date; safe when several processes start at once.

    Raises SchemaTooNewError and changes nothing when the schema is of a newer version.
    """
    if await database.read(current_revision) != HEAD:
        await database.write(_migrate, HEAD)


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, or None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _migrate(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    current = current_revision(connection)
    if current is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(current)
        except CommandError as error:
            raise SchemaTooNewError(current) from error
    if current is not None and revision != HEAD:
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


async def migrate_to(database: Database, revision: str) -> None:
    """Move the schema to a revision, up or down (`base` empties it); for upgrades' tests and repairs."""
    await database.write(_migrate, revision)
