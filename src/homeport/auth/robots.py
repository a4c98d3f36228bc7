"""Robots sign in: with a secret, as Basic credentials or at the token service."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

from sqlalchemy import Connection

from homeport.auth.accounts import Account, Accounts
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.errors import LoginSlowedDownError, PasswordWrongError
from homeport.auth.passwords import Passwords, password_fingerprint
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.login_failures import LoginSubjects, find_login_history, record_login_failure
from homeport.db.robots import StoredSecret, find_robot_by_login, note_use, read_secrets
from homeport.rules.login_throttle import LoginHistory, is_known_address, login_wait, retry_after_s

NOTE_USE_EVERY = timedelta(minutes=1)

_SALTED = "sha256$"
_NOTED_ROBOTS = 10_000


def hash_generated_secret(secret: Secret) -> str:
    """Return the hash to store for a secret that was made here, with a new salt.

    One round is enough: nobody can try 190 random bits (docs/decisions, "robot secrets").
    """
    salt = secrets.token_hex(16)
    return f"{_SALTED}{salt}${_digest(salt, secret)}"


def _digest(salt: str, secret: Secret) -> str:
    return hashlib.sha256(f"{salt}{secret.reveal()}".encode()).hexdigest()


def _is_generated(secret_hash: str) -> bool:
    return secret_hash.startswith(_SALTED)


def _is_right(secret_hash: str, secret: Secret) -> bool:
    salt, _, digest = secret_hash.removeprefix(_SALTED).partition("$")
    return compare_digest(digest, _digest(salt, secret))


@dataclass(frozen=True, slots=True)
class _Candidate:
    robot_id: int
    secrets: tuple[StoredSecret, ...]
    history: LoginHistory


class RobotLogin:
    """Checks the names and secrets of robots against the database.

    A right secret that was generated is let in at once. Every other attempt costs what a wrong password of a
    user costs and is slowed down as those are.
    """

    def __init__(self, database: Database, accounts: Accounts, passwords: Passwords) -> None:
        self._database = database
        self._accounts = accounts
        self._passwords = passwords
        self._noted: BoundedCache[int, datetime] = BoundedCache(_NOTED_ROBOTS)

    async def sign_in_generated(
        self, subjects: LoginSubjects, secret: Secret, now: datetime
    ) -> Account | None:
        """Return the robot of that name if this is its secret and was made here, else None."""
        candidate = await self._database.read(_find_candidate, subjects, now)
        if candidate is None:
            return None
        for each in candidate.secrets:
            if _is_generated(each.secret_hash) and _is_right(each.secret_hash, secret):
                return await self._account(candidate, each, now)
        return None

    async def sign_in(self, subjects: LoginSubjects, secret: Secret, now: datetime) -> Account | None:
        """Return the robot of that name if its owner gave it this secret; None when there is no robot.

        Raises PasswordWrongError and LoginSlowedDownError.
        """
        candidate = await self._database.read(_find_candidate, subjects, now)
        if candidate is None:
            return None
        right = await self._check_own(candidate, subjects, secret, now)
        account = await self._account(candidate, right, now)
        if account is None:
            raise PasswordWrongError(subjects.username)
        return account

    async def note_use(self, account: Account, address: str, now: datetime) -> None:
        """Remember that a robot signed in, at most once a minute per process; nothing for users."""
        last = self._noted.get(account.user_id)
        if last is None or now - last >= NOTE_USE_EVERY:
            self._noted.put(account.user_id, now)
            await self._database.write(note_use, account.user_id, now, address)

    async def _account(self, candidate: _Candidate, right: StoredSecret, now: datetime) -> Account | None:
        robot = await self._accounts.find_robot(candidate.robot_id)
        return robot.signed_in(password_fingerprint(right.secret_hash), now) if robot else None

    async def _check_own(
        self, candidate: _Candidate, subjects: LoginSubjects, secret: Secret, now: datetime
    ) -> StoredSecret:
        history = candidate.history
        wait = login_wait(history, now)
        if wait:
            raise LoginSlowedDownError(
                "too many wrong passwords", account=subjects.username, retry_after_s=retry_after_s(wait)
            )
        own = [each for each in candidate.secrets if not _is_generated(each.secret_hash)]
        for each in own:
            if await self._passwords.is_right(each.secret_hash, secret):
                return each
        if not own:
            await self._passwords.is_right(None, secret)
        await self._database.write(
            record_login_failure, subjects, now, is_known_address=is_known_address(history, now)
        )
        raise PasswordWrongError(subjects.username)


def _find_candidate(connection: Connection, subjects: LoginSubjects, now: datetime) -> _Candidate | None:
    robot = find_robot_by_login(connection, subjects.username)
    if robot is None:
        return None
    living = tuple(
        each
        for each in read_secrets(connection, robot.id)
        if each.expires_at is None or each.expires_at > now
    )
    return _Candidate(robot.id, living, find_login_history(connection, subjects, None))
