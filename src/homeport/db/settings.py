"""The settings that administrators change while the server runs, as rows by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from homeport.db.dialect import insert_or_replace
from homeport.db.schema import setting


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A setting that was changed: its JSON text, or for a secret its sealed bytes."""

    value: str | None
    sealed_value: bytes | None = field(default=None, repr=False)


_ALL = select(setting.c.name, setting.c.value, setting.c.sealed_value)


def read_settings(connection: Connection) -> dict[str, StoredSetting]:
    """Return every setting that was ever changed, by its name."""
    return {name: StoredSetting(value, sealed) for name, value, sealed in connection.execute(_ALL)}


def store_settings(connection: Connection, changed: Mapping[str, StoredSetting], now: datetime) -> None:
    """Store the settings; those that are not named stay as they are."""
    for name, stored in changed.items():
        row = {
            "name": name,
            "value": stored.value,
            "sealed_value": stored.sealed_value,
            "updated_at": now,
        }
        insert_or_replace(connection, setting, row)
