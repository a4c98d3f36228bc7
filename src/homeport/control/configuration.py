"""Looking at and changing the configuration, as Harbor's `/configurations` does.

Services read it through `homeport.auth.configuration.ConfigurationReader`, which caches it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from homeport.auth.configuration import (
    DEFAULT_VALUES,
    SECRET_NAMES,
    Configuration,
    ConfigurationReader,
    prepare_setting,
)
from homeport.auth.sealing import Sealer
from homeport.control.errors import BadRequestError
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.external_users import forget_source_admins
from homeport.db.settings import store_settings
from homeport.db.users import has_other_users
from homeport.rules.configuration import SettingInvalidError, SettingValue, check_setting, check_together

HIDDEN = "(hidden)"

_NAMES_OF_ADMINS = {"auth_mode", "ldap_group_admin_dn", "ldap_url", "oidc_admin_group", "oidc_endpoint"}


@dataclass(frozen=True, slots=True)
class SettingState:
    """A setting as administrators see it."""

    value: SettingValue
    is_editable: bool


class ConfigurationService:
    """Shows and changes the configuration."""

    def __init__(self, database: Database, sealer: Sealer, reader: ConfigurationReader) -> None:
        self._database = database
        self._sealer = sealer
        self._reader = reader

    async def describe(self) -> dict[str, SettingState]:
        """Return every setting but the secrets, whose values never leave."""
        configuration = await self._reader.read()
        has_others = await self._database.read(has_other_users)
        return {
            name: SettingState(getattr(configuration, name), not (name == "auth_mode" and has_others))
            for name in DEFAULT_VALUES
            if name not in SECRET_NAMES
        }

    async def change(self, actor: Actor, values: Mapping[str, object]) -> None:
        """Set the named settings, all or none, and record what they were; None leaves a setting as it is.

        Raises BadRequestError for a name that is not known and a value that cannot be.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            checked = {name: check_setting(name, value, _kind(name)) for name, value in given.items()}
        except SettingInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        if checked:
            await self._database.write(self._store, actor, checked)

    def _store(self, connection: Connection, actor: Actor, checked: dict[str, SettingValue]) -> None:
        old = self._reader.load(connection)
        changed = {name: value for name, value in checked.items() if _differs(old, name, value)}
        if not changed:
            return
        if changed.get("auth_mode", old.auth_mode) != old.auth_mode and has_other_users(connection):
            raise BadRequestError(
                "the authentication mode cannot be changed while there are users besides the first one",
                hint="delete the other users first",
            )
        merged = {name: changed.get(name, _shown(old, name)) for name in DEFAULT_VALUES}
        try:
            check_together(merged)
        except SettingInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        stored = {name: prepare_setting(name, value, self._sealer) for name, value in changed.items()}
        if _NAMES_OF_ADMINS & changed.keys():
            forget_source_admins(connection)  # until their next sign-in, when the new settings decide
        store_settings(connection, stored, datetime.now(UTC))
        before = {name: _shown(old, name) for name in changed}
        after = {name: HIDDEN if name in SECRET_NAMES else value for name, value in changed.items()}
        record = actor.record("update_configuration", Target(), before=before, after=after)
        add_records(connection, [record])


def _kind(name: str) -> type:
    default = DEFAULT_VALUES.get(name)
    return str if name in SECRET_NAMES else type(default)


def _differs(old: Configuration, name: str, value: SettingValue) -> bool:
    if name not in old.stored_names:
        return True  # what was set on purpose stays when the default changes
    if name in SECRET_NAMES:
        return bool(getattr(old, name).reveal() != value)
    return bool(getattr(old, name) != value)


def _shown(configuration: Configuration, name: str) -> SettingValue:
    value: SettingValue = HIDDEN if name in SECRET_NAMES else getattr(configuration, name)
    return value
