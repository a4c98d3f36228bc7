"""Looking into the LDAP directory: does it answer, whom does it know, and accounts for some of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.auth.errors import AuthenticationError
from homeport.auth.ldap import DirectoryError, LdapDirectory, LdapGroup, LdapUser
from homeport.auth.ldap_login import LDAP_MODE
from homeport.auth.ldap_settings import LdapNotConfiguredError, LdapSettings, read_ldap_settings
from homeport.auth.onboarding import LDAP, ExternalIdentity, onboard
from homeport.auth.secret import Secret
from homeport.control.errors import BadRequestError, ForbiddenError
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.users import find_user
from homeport.rules.configuration import SettingInvalidError, check_setting

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MAX_IMPORTED = 200


@dataclass(frozen=True, slots=True)
class LdapTrial:
    """Settings to try instead of those in force; None is what is in force."""

    ldap_url: str | None = None
    ldap_search_dn: str | None = None
    ldap_search_password: Secret | None = None
    ldap_base_dn: str | None = None
    ldap_filter: str | None = None
    ldap_uid: str | None = None
    ldap_scope: int | None = None
    ldap_timeout: int | None = None
    ldap_verify_cert: bool | None = None


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A user that no account could be made for."""

    uid: str
    error: str


class LdapAccounts:
    """Asks the directory on behalf of administrators."""

    def __init__(
        self, database: Database, configuration: ConfigurationReader, directory: LdapDirectory
    ) -> None:
        self._database = database
        self._configuration = configuration
        self._directory = directory

    async def ping(self, trial: LdapTrial) -> str:
        """Connect with the settings in force and those of the trial; return what is wrong, or nothing.

        The stored password goes only to the stored server and for the stored account: a trial cannot send it
        elsewhere, nor without the protection that was configured. Raises BadRequestError.
        """
        try:
            tried = _merge(await self._configuration.read(), trial)
            await self._directory.ping(read_ldap_settings(tried))
        except (LdapNotConfiguredError, SettingInvalidError) as error:
            raise BadRequestError(str(error), hint=error.hint) from None
        except DirectoryError as error:
            return str(error)
        return ""

    async def find_users(self, username: str) -> list[LdapUser]:
        """Return the users of that name, or all for an empty name. Raises BadRequestError."""
        try:
            return await self._directory.find_users(await self._settings(), username)
        except DirectoryError as error:
            raise BadRequestError(str(error), hint=error.hint) from None

    async def find_groups(self, *, name: str, dn: str) -> list[LdapGroup]:
        """Return groups by a part of the name or by the distinguished name. Raises BadRequestError."""
        try:
            return await self._directory.find_groups(await self._settings(), name=name, dn=dn)
        except DirectoryError as error:
            raise BadRequestError(str(error), hint=error.hint) from None

    async def import_users(self, actor: Actor, uids: Iterable[str]) -> list[ImportFailure]:
        """Make accounts for users of the directory; return those for whom that was not possible, and why.

        Raises BadRequestError, and ForbiddenError in other authentication modes.
        """
        wanted = list(dict.fromkeys(uids))
        if not 0 < len(wanted) <= MAX_IMPORTED:
            raise BadRequestError(f"name 1 to {MAX_IMPORTED} users")
        mode = (await self._configuration.read()).auth_mode
        if mode != LDAP_MODE:
            raise ForbiddenError(f"no users are imported in authentication mode {mode}")
        failures = []
        for uid in wanted:
            problem = await self._import(actor, uid)
            if problem:
                failures.append(ImportFailure(uid, problem))
        return failures

    async def ensure_account(self, actor: Actor, username: str) -> None:
        """Make the account of a user whom so far only the directory knows, if there is such a one.

        Does nothing in other authentication modes, and when the directory cannot be asked.
        """
        if not username or (await self._configuration.read()).auth_mode != LDAP_MODE:
            return
        if await self._database.read(find_user, username) is not None:
            return
        try:
            await self._import(actor, username)
        except BadRequestError as error:
            log.warning("ldap_unavailable", error=str(error))

    async def _import(self, actor: Actor, uid: str) -> str:
        found = await self.find_users(uid) if uid else []
        if len(found) != 1:
            return "the directory knows no such user" if not found else "several users have this name"
        user = found[0]
        if await self._database.read(find_user, user.username) is not None:
            return "there is an account of this name already"
        # groups and administration are what the next sign-in brings
        identity = ExternalIdentity(LDAP, user.dn, user.username, user.email, user.realname, None)
        try:
            await self._database.write(onboard, identity, actor, datetime.now(UTC))
        except AuthenticationError as error:
            return str(error)
        return ""

    async def _settings(self) -> LdapSettings:
        try:
            return read_ldap_settings(await self._configuration.read())
        except LdapNotConfiguredError as error:
            raise BadRequestError(str(error), hint=error.hint) from None


def _merge(configuration: Configuration, trial: LdapTrial) -> Configuration:
    names = (name for name in LdapTrial.__dataclass_fields__ if name != "ldap_search_password")
    given = {name: value for name in names if (value := getattr(trial, name)) is not None}
    for name, value in given.items():
        check_setting(name, value, type(getattr(configuration, name)))
    merged = replace(configuration, **given)
    if trial.ldap_search_password:
        return replace(merged, ldap_search_password=trial.ldap_search_password)
    guarded = ("ldap_url", "ldap_search_dn", "ldap_verify_cert")
    if any(getattr(merged, name) != getattr(configuration, name) for name in guarded):
        if merged.ldap_search_dn:
            raise BadRequestError("the password of the search account is missing", hint="send it for a trial")
        return replace(merged, ldap_search_password=Secret(""))
    return merged
