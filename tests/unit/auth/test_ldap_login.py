from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.directory import PASSWORD, LdapServer
from tests.unit.auth.house import ADDRESS, INSTANCE_SECRET, HandClock, House

from homeport.auth.configuration import Configuration, ConfigurationReader
from homeport.auth.errors import PasswordWrongError, SourceUnavailableError
from homeport.auth.ldap import LdapDirectory
from homeport.auth.ldap_login import LdapLogin, counted_name
from homeport.auth.password_login import PasswordLogin
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.auth.sessions import EXTERNAL_LIFETIME, Sessions
from homeport.db.engine import Database
from homeport.db.users import delete_user
from homeport.rules.permissions import AuthMethod

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LdapServer]:
    """Run a directory with the user alice."""
    server = LdapServer(tmp_path_factory.mktemp("slapd"))
    try:
        server.start()
        server.add_user("alice")
        yield server
    finally:
        server.stop()


class Ward:
    """A house whose users are in the directory."""

    def __init__(self, database: Database, directory: LdapServer) -> None:
        self.house = House(database)
        self.clock: HandClock = self.house.clock
        settings = directory.settings()
        values = {**settings, "ldap_search_password": Secret(str(settings["ldap_search_password"]))}
        configuration = replace(Configuration(), **values)  # type: ignore[arg-type] # names come from a test
        reader = ConfigurationReader(database, Sealer(INSTANCE_SECRET), configuration)
        ldap = LdapLogin(database, reader, LdapDirectory(), self.clock)
        house = self.house
        self.login = PasswordLogin(database, house.accounts, house.passwords, self.clock, ldap=ldap)
        self.sessions = Sessions(database, house.accounts, reader, self.clock)


@pytest.fixture
def ward(database: Database, directory: LdapServer) -> Ward:
    """Return a new house."""
    return Ward(database, directory)


async def test_accepted_password_is_believed_for_five_minutes(ward: Ward, directory: LdapServer) -> None:
    account = await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)
    assert account.valid_until == ward.clock.now + timedelta(minutes=5)
    directory.stop()
    try:
        ward.clock.turn(timedelta(minutes=4, seconds=59))
        assert (await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)).user_id == account.user_id

        ward.clock.turn(timedelta(seconds=1))
        with pytest.raises(SourceUnavailableError):
            await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)
    finally:
        directory.start()


async def test_deleted_account_is_not_believed_and_made_anew(ward: Ward) -> None:
    first = await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)
    await ward.house.database.write(delete_user, first.user_id)

    second = await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)

    assert second.password_fingerprint != first.password_fingerprint


async def test_wrong_password_is_no_more_believed_after_a_right_one(ward: Ward) -> None:
    await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)

    for wrong in ("", "wrong", PASSWORD.upper()):
        with pytest.raises(PasswordWrongError):
            await ward.login.sign_in("alice", Secret(wrong), ADDRESS)


async def test_session_of_a_directory_user_ends_after_twelve_hours_of_use(ward: Ward) -> None:
    account = await ward.login.sign_in("alice", Secret(PASSWORD), ADDRESS)
    cookie, _ = await ward.sessions.open(account, AuthMethod.PASSWORD, ADDRESS)
    begun = ward.clock.now

    while ward.clock.now + timedelta(minutes=30) < begun + EXTERNAL_LIFETIME:
        ward.clock.turn(timedelta(minutes=30))
        assert await ward.sessions.find(cookie) is not None
    ward.clock.turn(timedelta(minutes=30))

    assert await ward.sessions.find(cookie) is None


@pytest.mark.parametrize("text", ["ALICE", "alice ", " Alice", "\uff21lice"])
def test_spellings_of_one_name_are_counted_together(text: str) -> None:
    assert counted_name(text) == "alice"
