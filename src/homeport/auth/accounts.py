"""The facts of accounts that every request depends on, cached for as long as nothing changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from homeport.auth.passwords import (
    password_fingerprint,
)
from homeport.db.engine import Database
from homeport.db.rights import read_user_rights
from homeport.db.robots import (
    StoredTrust,
    find_robot,
    read_permissions,
    read_robot_prefix,
    read_secrets,
    read_trusts,
)
from homeport.db.users import StoredUser, find_user_by_id
from homeport.rules.permissions import NO_RIGHTS, AuthMethod, Principal, PrincipalKind, Rights
from homeport.rules.robots import login_name, rights_of

MAX_USERNAME_LENGTH = 255

_MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """What a request must know about a user, or about a robot that signed in.

    `user_id` is the id of the user or of the robot, by `kind`, and `password_fingerprint` that of what it
    signed in with, which holds no longer than `valid_until`. A robot that came with an identity token of its
    own is a workload. `source` is who keeps the account; programs of an OpenID provider's user sign in with a
    secret of their own.
    """

    user_id: int
    username: str
    is_sysadmin: bool
    password_fingerprint: str
    rights: Rights = NO_RIGHTS
    kind: PrincipalKind = PrincipalKind.USER
    valid_until: datetime | None = None
    is_workload: bool = False
    source: str = "local"
    cli_secret_fingerprint: str | None = None

    def signed_in(self, fingerprint: str) -> "Account | None":
        """Return the user as one that signed in with this credential while it has it, else None."""
        if fingerprint == self.password_fingerprint:
            return self
        if fingerprint == self.cli_secret_fingerprint:
            return replace(self, password_fingerprint=fingerprint)
        return None

    def as_principal(self, auth_method: AuthMethod) -> Principal:
        """Return the account as one who acts."""
        method = AuthMethod.WORKLOAD if self.is_workload else auth_method
        return Principal(self.username, self.kind, self.user_id, self.is_sysadmin, method, self.rights)


@dataclass(frozen=True, slots=True)
class RobotAccount:
    """What a request must know about a robot that is not disabled.

    `credentials` holds the fingerprints of its secrets and trust rules, each with its end, if it has one.
    """

    robot_id: int
    username: str
    rights: Rights
    ends_at: datetime | None
    credentials: Mapping[str, datetime | None] = field(hash=False)

    def signed_in(self, fingerprint: str, now: datetime) -> Account | None:
        """Return the account while the robot has the credential, and both hold, else None."""
        if fingerprint not in self.credentials:
            return None
        ends = [end for end in (self.ends_at, self.credentials[fingerprint]) if end is not None]
        valid_until = min(ends, default=None)
        if valid_until is not None and valid_until <= now:
            return None
        return self._account(fingerprint, valid_until)

    def certified(self, now: datetime) -> Account | None:
        """Return the account of the robot, known by other means than its credentials, while it lives."""
        return None if self.ends_at is not None and self.ends_at <= now else self._account("", self.ends_at)

    def _account(self, fingerprint: str, valid_until: datetime | None) -> Account:
        return Account(
            self.robot_id,
            self.username,
            is_sysadmin=False,
            password_fingerprint=fingerprint,
            rights=self.rights,
            kind=PrincipalKind.ROBOT,
            valid_until=valid_until,
        )


def account_of(user: StoredUser, rights: Rights = NO_RIGHTS) -> Account:
    """Return the facts of a stored user who has these rights."""
    secret_hash = user.cli_secret_hash
    return Account(
        user.id,
        user.username,
        user.is_sysadmin or user.is_admin_in_source,
        password_fingerprint(user.password_hash),
        rights,
        source=user.source,
        cli_secret_fingerprint=None if secret_hash is None else password_fingerprint(secret_hash),
    )


def find_account(connection: Connection, user_id: int) -> Account | None:
    """Return the account with that id, or None."""
    user = find_user_by_id(connection, user_id)
    if user is None:
        return None
    return account_of(user, read_user_rights(connection, user.id, is_auditor=user.is_auditor))


def find_robot_account(connection: Connection, robot_id: int) -> RobotAccount | None:
    """Return the robot with that id, or None when there is none or it is disabled."""
    stored = find_robot(connection, robot_id)
    if stored is None or stored.is_disabled:
        return None
    credentials = {
        password_fingerprint(secret.secret_hash): secret.expires_at
        for secret in read_secrets(connection, robot_id)
    }
    credentials |= {trust_fingerprint(trust): None for trust in read_trusts(connection, robot_id)}
    return RobotAccount(
        robot_id,
        login_name(read_robot_prefix(connection), stored.name, stored.project_name),
        rights_of(read_permissions(connection, robot_id)),
        stored.expires_at,
        credentials,
    )


def trust_fingerprint(trust: StoredTrust) -> str:
    """Return a short text that no other trust rule has, not even one that takes over its id."""
    text = f"{trust.id} {trust.robot_id} {trust.issuer} {trust.audience} {trust.created_at.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Accounts:
    """Finds accounts; asks the database once per change of anything in it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._accounts: dict[int, Account | None] = {}
        self._robots: dict[int, RobotAccount | None] = {}

    async def find(self, user_id: int) -> Account | None:
        """Return the account as it is now, or None when it is gone."""
        await self._forget_outdated()
        if user_id in self._accounts:
            return self._accounts[user_id]
        cached = self._accounts
        account = await self._database.read(find_account, user_id)
        cached[user_id] = account
        return account

    async def find_robot(self, robot_id: int) -> RobotAccount | None:
        """Return the robot as it is now, or None when it is gone or disabled."""
        await self._forget_outdated()
        if robot_id in self._robots:
            return self._robots[robot_id]
        cached = self._robots
        account = await self._database.read(find_robot_account, robot_id)
        cached[robot_id] = account
        return account

    async def find_signed_in(
        self, kind: PrincipalKind, account_id: int, fingerprint: str, now: datetime
    ) -> Account | None:
        """Return the user or robot if what it once signed in with still holds, else None."""
        if kind is PrincipalKind.ROBOT:
            robot = await self.find_robot(account_id)
            return None if robot is None else robot.signed_in(fingerprint, now)
        account = await self.find(account_id)
        return None if account is None else account.signed_in(fingerprint)

    async def _forget_outdated(self) -> None:
        version = await self._database.access_version()
        if version != self._version or len(self._accounts) + len(self._robots) >= _MAX_CACHED:
            self._version = version
            self._accounts = {}
            self._robots = {}


def is_username(text: str) -> bool:
    """Tell whether the text can be the name of an account."""
    return 0 < len(text) <= MAX_USERNAME_LENGTH and text.isprintable() and ":" not in text
