"""Signing in with a password: slowed down after failures, remembered after success."""

import secrets
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b

from sqlalchemy import Connection

from homeport.auth.accounts import Account, Accounts, is_username
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import Clock, utc_now
from homeport.auth.errors import (
    CredentialsMalformedError,
    IdentityTokenInvalidError,
    LoginSlowedDownError,
    PasswordWrongError,
)
from homeport.auth.ldap_login import REMEMBERED_FOR, LdapLogin, counted_name
from homeport.auth.passwords import (
    MAX_PASSWORD_BYTES,
    PasswordChecksBusyError,
    Passwords,
    password_fingerprint,
)
from homeport.auth.robots import RobotLogin
from homeport.auth.secret import Secret
from homeport.auth.workload import Workload, WorkloadLogin, is_identity_token
from homeport.db.engine import Database
from homeport.db.login_failures import (
    LoginSubjects,
    find_login_history,
    record_login_failure,
    record_login_success,
)
from homeport.db.refresh_tokens import carry_refresh_tokens_over
from homeport.db.robots import find_robot_by_login
from homeport.db.users import StoredUser, find_user, replace_password_hash
from homeport.rules.login_throttle import (
    LoginHistory,
    is_known_address,
    is_success_news,
    login_wait,
    retry_after_s,
    throttled_address,
)
from homeport.rules.permissions import PrincipalKind

_REMEMBERED_PASSWORDS = 10_000
_LOCAL = "local"


class PasswordLogin:
    """Checks the names and passwords of users, and those of robots, against the database.

    A password that was right is remembered by a hash under a key of this process until the account's row
    changes, so that clients which send it with every request cost one check. A wrong one is looked up in the
    database shared by all workers, and slowed down by `rules.login_throttle`.

    Users of a directory have their passwords there, and what it accepted is remembered for minutes only.
    Those of an OpenID provider have a secret for their programs, which is checked here.
    """

    def __init__(  # noqa: PLR0913 - each kind of account has its own part
        self,
        database: Database,
        accounts: Accounts,
        passwords: Passwords,
        clock: Clock = utc_now,
        *,
        workloads: WorkloadLogin | None = None,
        ldap: LdapLogin | None = None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._passwords = passwords
        self._robots = RobotLogin(database, accounts, passwords)
        self._clock = clock
        self._workloads = workloads
        self._ldap = ldap
        self._cache_key = secrets.token_bytes(32)
        self._remembered: BoundedCache[bytes, Account] = BoundedCache(_REMEMBERED_PASSWORDS)

    async def sign_in(self, username: str, password: Secret, client_address: str) -> Account:
        """Return the account whose name and password these are.

        The password of a robot, or of the user name `oidc`, may be an identity token of its workload. Raises
        CredentialsMalformedError, PasswordWrongError, OnboardingRefusedError and IdentityTokenInvalidError,
        and LoginSlowedDownError or SourceUnavailableError when the attempt was not looked at.
        """
        workloads = self._workloads
        if workloads and is_identity_token(password.reveal()) and await workloads.knows(username):
            return (await self.sign_in_workload(password, username, client_address)).account
        if not is_username(username) or len(password.reveal().encode()) > MAX_PASSWORD_BYTES:
            raise CredentialsMalformedError("no account can have this name or password")
        account = await self._recall_or_check(username, password, client_address)
        if account.kind is PrincipalKind.ROBOT:
            await self._robots.note_use(account, client_address, self._clock())
        return account

    async def sign_in_workload(self, token: Secret, robot_name: str, client_address: str) -> Workload:
        """Return the workload of an identity token and the robot that it acts as.

        Raises IdentityTokenInvalidError.
        """
        if self._workloads is None:
            raise IdentityTokenInvalidError("no issuer is trusted", account=robot_name)
        workload = await self._workloads.sign_in(token, robot_name)
        await self._robots.note_use(workload.account, client_address, self._clock())
        return workload

    async def _recall_or_check(self, username: str, password: Secret, client_address: str) -> Account:
        key = self._key(username, password)
        account = await self._recall(key)
        if account is not None:
            return account
        subjects = LoginSubjects(username, throttled_address(client_address))
        account = await self._robots.sign_in_generated(subjects, password, self._clock())
        if account is not None:
            self._remembered.put(key, account)
            return account
        if self._ldap is not None and await self._ldap.keeps(username) and not await self._is_robot(username):
            account = await self._ask_directory(self._ldap, username, password, subjects.address)
            self._remembered.put(key, account)
            return account
        try:
            async with self._passwords.turn():
                account = await self._recall(key)
                if account is None:
                    account = await self._check(subjects, password)
                    self._remembered.put(key, account)
                return account
        except PasswordChecksBusyError:
            raise LoginSlowedDownError(
                "too many sign-ins wait to be checked", account=username, retry_after_s=2
            ) from None

    async def _recall(self, key: bytes) -> Account | None:
        remembered = self._remembered.get(key)
        if remembered is None:
            return None
        valid_until = remembered.valid_until
        if valid_until is not None and valid_until <= self._clock():
            self._remembered.drop(key)
            return None
        account = await self._accounts.find_signed_in(
            remembered.kind, remembered.user_id, remembered.password_fingerprint, self._clock()
        )
        if account is None or account.username != remembered.username:
            self._remembered.drop(key)
            return None
        is_user = account.kind is PrincipalKind.USER
        return replace(account, valid_until=valid_until) if is_user and valid_until else account

    async def _is_robot(self, username: str) -> bool:
        return await self._database.read(find_robot_by_login, username) is not None

    async def _ask_directory(self, ldap: LdapLogin, username: str, password: Secret, address: str) -> Account:
        subjects = LoginSubjects(counted_name(username), address)
        user, history = await self._database.read(_find_user_and_history, subjects, username)
        now = self._clock()
        _refuse_early(history, now, username)
        user_id = await ldap.sign_in(username, password, address)
        if user_id is None:
            await self._database.write(
                record_login_failure, subjects, now, is_known_address=is_known_address(history, now)
            )
            raise PasswordWrongError(username)
        if user is None or is_success_news(history, now):
            await self._database.write(record_login_success, subjects, user_id, now)
        account = await self._accounts.find(user_id)
        if account is None:
            raise PasswordWrongError(username)  # deleted meanwhile
        return replace(account, valid_until=now + REMEMBERED_FOR)

    async def _check(self, subjects: LoginSubjects, password: Secret) -> Account:
        username = subjects.username
        robot = await self._robots.sign_in(subjects, password, self._clock())
        if robot is not None:
            return robot
        user, history = await self._database.read(_find_user_and_history, subjects, username)
        now = self._clock()
        _refuse_early(history, now, username)
        right_hash = _hash_of(user)
        if not await self._passwords.is_right(right_hash, password) or user is None or right_hash is None:
            await self._database.write(
                record_login_failure, subjects, now, is_known_address=is_known_address(history, now)
            )
            raise PasswordWrongError(username)
        if is_success_news(history, now):
            await self._database.write(record_login_success, subjects, user.id, now)
        if user.source == _LOCAL and self._passwords.is_outdated(user.password_hash):
            new_hash = await self._passwords.hash(password)
            await self._database.write(_store_rehash, user, new_hash)
        account = await self._accounts.find(user.id)
        signed_in = None if account is None else account.signed_in(password_fingerprint(right_hash))
        if signed_in is None and account is not None and user.source == _LOCAL:
            signed_in = account  # its hash was renewed
        if signed_in is None:
            raise PasswordWrongError(username)  # deleted or changed meanwhile
        return signed_in

    def _key(self, username: str, password: Secret) -> bytes:
        text = f"{username}\0{password.reveal()}"
        return blake2b(text.encode(), key=self._cache_key, digest_size=32).digest()


def _find_user_and_history(
    connection: Connection, subjects: LoginSubjects, username: str
) -> tuple[StoredUser | None, LoginHistory]:
    user = find_user(connection, username)
    return user, find_login_history(connection, subjects, user.id if user else None)


def _refuse_early(history: LoginHistory, now: datetime, username: str) -> None:
    wait = login_wait(history, now)
    if wait:
        raise LoginSlowedDownError(
            "too many wrong passwords", account=username, retry_after_s=retry_after_s(wait)
        )


def _hash_of(user: StoredUser | None) -> str | None:
    """Return the hash of what the user signs in with here; None when that is nothing."""
    if user is None:
        return None
    match user.source:
        case "local":
            return user.password_hash
        case "oidc":
            return user.cli_secret_hash
        case _:
            return None


def _store_rehash(connection: Connection, user: StoredUser, new_hash: str) -> None:
    if replace_password_hash(connection, user.id, user.password_hash, new_hash):
        carry_refresh_tokens_over(
            connection, user.id, password_fingerprint(user.password_hash), password_fingerprint(new_hash)
        )
