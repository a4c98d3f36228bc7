"""Users of the LDAP directory sign in with their passwords there."""

import os
import time
import unicodedata
from datetime import timedelta

import structlog

from homeport.auth.bootstrap import FIRST_ADMIN
from homeport.auth.clock import Clock, utc_now
from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.auth.errors import SourceUnavailableError
from homeport.auth.ldap import DirectoryError, LdapDirectory, LdapUser
from homeport.auth.ldap_settings import LdapNotConfiguredError, read_ldap_settings
from homeport.auth.onboarding import LDAP, ExternalIdentity, onboard
from homeport.auth.secret import Secret
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.external_users import ExternalGroup
from homeport.db.users import find_user
from homeport.rules.permissions import AuthMethod

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LDAP_MODE = "ldap_auth"
REMEMBERED_FOR = timedelta(minutes=5)
"""How long a password that the directory accepted is believed without asking again."""

_PAUSE_WHEN_DOWN_S = 2.0


class LdapLogin:
    """Signs users in at the directory, while the authentication mode is `ldap_auth`.

    The first administrator and all other local accounts never get there, so that they can sign in when the
    directory is down. While it is down it is asked once every two seconds.
    """

    def __init__(
        self,
        database: Database,
        configuration: ConfigurationReader,
        directory: LdapDirectory,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._configuration = configuration
        self._directory = directory
        self._clock = clock
        self._down: tuple[Configuration, float] | None = None

    async def keeps(self, username: str) -> bool:
        """Tell whether the directory decides about a sign-in under that name."""
        if (await self._configuration.read()).auth_mode != LDAP_MODE or username.lower() == FIRST_ADMIN:
            return False
        user = await self._database.read(find_user, username)
        return user is None or user.source == LDAP

    async def sign_in(self, username: str, password: Secret, client_address: str) -> int | None:
        """Return the id of the user's account, which is made at first; None when the directory refuses.

        Raises SourceUnavailableError and OnboardingRefusedError.
        """
        configuration = await self._configuration.read()
        now = time.monotonic()
        if self._down is not None and self._down[0] == configuration and now < self._down[1]:
            raise SourceUnavailableError(username)
        try:
            settings = read_ldap_settings(configuration)
            user = await self._directory.authenticate(settings, username, password)
        except (DirectoryError, LdapNotConfiguredError) as error:
            self._down = configuration, time.monotonic() + _PAUSE_WHEN_DOWN_S
            log.warning("ldap_unavailable", url=configuration.ldap_url, error=str(error))
            raise SourceUnavailableError(username) from error
        if user is None:
            return None
        actor = Actor(user.username, AuthMethod.LDAP, client_address, "", os.urandom(8).hex())
        identity = identity_of(user)
        return await self._database.write(onboard, identity, actor, self._clock())


def identity_of(user: LdapUser) -> ExternalIdentity:
    """Return what is stored of a user who signed in."""
    groups = tuple(ExternalGroup(group.name, group.dn) for group in user.groups)
    return ExternalIdentity(LDAP, user.dn, user.username, user.email, user.realname, groups, user.is_admin)


def counted_name(username: str) -> str:
    """Return the name that wrong passwords are counted for: directories take several spellings for one."""
    return " ".join(unicodedata.normalize("NFKC", username).casefold().split())
