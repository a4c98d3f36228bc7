"""The control plane's services on one database, put together as a worker has them."""

from dataclasses import dataclass

from homeport.auth.accounts import Accounts
from homeport.auth.configuration import ConfigurationReader
from homeport.auth.password_login import PasswordLogin
from homeport.auth.passwords import Passwords
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.control.configuration import ConfigurationService
from homeport.control.users import NewUser, Users
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.users import UserProfile
from homeport.rules.permissions import AuthMethod, Principal, PrincipalKind, Rights

ACTOR = Actor("admin", "basic", "192.0.2.1", "tests", "request-1")
PASSWORD = "Passw0rd-of-tests"
INSTANCE_SECRET = Secret("0123456789abcdef0123456789abcdef")
ROOT = Principal("root", PrincipalKind.USER, 999_999, is_sysadmin=True, auth_method=AuthMethod.BASIC)


@dataclass
class ControlHouse:
    """One worker's services."""

    database: Database

    def __post_init__(self) -> None:
        self.sealer = Sealer(INSTANCE_SECRET)
        self.passwords = Passwords()
        self.accounts = Accounts(self.database)
        self.reader = ConfigurationReader(self.database, self.sealer)
        self.configuration = ConfigurationService(self.database, self.sealer, self.reader)
        login = PasswordLogin(self.database, self.accounts, self.passwords)
        self.users = Users(self.database, self.passwords, self.sealer, self.reader, login)

    async def add(self, name: str, *, is_sysadmin: bool = False) -> Principal:
        """Make a user and return it as one who acts."""
        new = NewUser(name, Secret(PASSWORD), UserProfile(f"{name}@example.org", name, ""))
        user_id = await self.users.create(ROOT, ACTOR, new)
        if is_sysadmin:
            await self.users.set_sysadmin(ROOT, ACTOR, user_id, is_sysadmin=True)
        return await self.principal(user_id)

    async def principal(self, user_id: int) -> Principal:
        """Return the user as one who acts, by the facts of now."""
        account = await self.accounts.find(user_id)
        assert account is not None
        return account.as_principal(AuthMethod.BASIC)


def robot(robot_id: int, *permissions: str) -> Principal:
    """Return a robot with these permissions in the system."""
    rights = Rights(system=frozenset(permissions))
    return Principal(
        "robot$x",
        PrincipalKind.ROBOT,
        robot_id,
        is_sysadmin=False,
        auth_method=AuthMethod.BASIC,
        rights=rights,
    )
