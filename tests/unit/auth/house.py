"""Everything that signs people in, put together as one process has it, with a clock that tests turn."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from homeport.auth.access_tokens import AccessTokens, TokenAudience
from homeport.auth.accounts import Accounts
from homeport.auth.authentication import Authentication, Authenticator
from homeport.auth.clock import utc_now
from homeport.auth.login_event import LoginEvent, RequestFacts
from homeport.auth.password_login import PasswordLogin
from homeport.auth.passwords import Passwords
from homeport.auth.refresh_tokens import RefreshTokens
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.auth.signing_keys import SigningKeys
from homeport.auth.token_service import TokenService
from homeport.db.engine import Database
from homeport.db.users import StoredUser, add_user, find_user

SERVICE = "homeport"
TTL = timedelta(minutes=30)
ADDRESS = "192.0.2.1"
PASSWORD = "correct horse"
INSTANCE_SECRET = Secret("0123456789abcdef0123456789abcdef")
FACTS = RequestFacts(ADDRESS, "docker/29", "request-1")


@dataclass
class HandClock:
    """A clock that goes only when it is turned."""

    now: datetime = datetime(2026, 1, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time that it shows."""
        return self.now

    def turn(self, by: timedelta) -> None:
        """Let the time pass."""
        self.now += by


@dataclass
class House:
    """One worker process's parts on a database."""

    database: Database
    clock: HandClock = field(default_factory=HandClock)
    events: list[LoginEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = SigningKeys(self.database, Sealer(INSTANCE_SECRET), self.clock)
        self.accounts = Accounts(self.database)
        self.passwords = Passwords()
        self.login = PasswordLogin(self.database, self.accounts, self.passwords, self.clock)
        self.tokens = AccessTokens(self.keys, TokenAudience(SERVICE, SERVICE, TTL), self.clock)
        self.authenticator = Authenticator(self.database, self.accounts, self.tokens, self.login, self.clock)
        self.refresh_tokens = RefreshTokens(self.database, self.accounts, SERVICE, self.clock)
        self.service = TokenService(
            self.database, self.login, self.tokens, self.refresh_tokens, self.record_login
        )

    async def recall(self, header: bytes | None) -> Authentication | None:
        """Return what is believed of a header without asking anything but the access version."""
        return self.authenticator.authenticate_cached(header, await self.database.access_version())

    async def record_login(self, event: LoginEvent) -> None:
        """Keep what the audit would learn."""
        self.events.append(event)

    async def add_user(
        self, username: str = "alice", password: str = PASSWORD, *, is_sysadmin: bool = False
    ) -> StoredUser:
        """Make a user and return it."""
        password_hash = await self.passwords.hash(Secret(password))
        await self.database.write(add_user, username, password_hash, utc_now(), is_sysadmin=is_sysadmin)
        user = await self.database.read(find_user, username)
        assert user is not None
        return user


def basic(username: str = "alice", password: str = PASSWORD) -> bytes:
    """Return a Basic Authorization header."""
    return b"Basic " + base64.b64encode(f"{username}:{password}".encode())


def bearer(token: Secret | str) -> bytes:
    """Return a Bearer Authorization header."""
    return b"Bearer " + (token if isinstance(token, str) else token.reveal()).encode()
