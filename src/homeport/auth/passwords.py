"""Passwords: argon2id, in bounded time and memory."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from homeport.auth.secret import Secret

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_BYTES = 1024

_CONCURRENT_CHECKS = 2
_MAX_WAITING_CHECKS = 128


class PasswordChecksBusyError(Exception):
    """So many checks wait already that this one would wait for too long."""


class Passwords:
    """Hashes and checks passwords (OWASP's argon2id parameters), few at a time.

    A process uses at most 2 x 19 MiB for it, however many clients sign in at once. `checks` counts the
    passwords that were checked so far.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(_CONCURRENT_CHECKS, thread_name_prefix="passwords")
        self._slots = asyncio.Semaphore(_CONCURRENT_CHECKS)
        self._waiting = 0
        self.checks = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to check one password; raises PasswordChecksBusyError when the queue is full."""
        if self._waiting >= _MAX_WAITING_CHECKS:
            raise PasswordChecksBusyError
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def is_right(self, password_hash: str | None, password: Secret) -> bool:
        """Tell whether the password is the hashed one; None, an unknown account, costs the same work."""
        self.checks += 1
        loop = asyncio.get_running_loop()
        is_right = await loop.run_in_executor(
            self._threads, self._verify, password_hash or _NOBODYS_HASH, password
        )
        return is_right and password_hash is not None

    async def hash(self, password: Secret) -> str:
        """Return the hash to store, with its parameters and a new salt."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, password.reveal())

    def is_outdated(self, password_hash: str) -> bool:
        """Tell whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """End the threads; checks that have not begun are cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password_hash: str, password: Secret) -> bool:
        try:
            return self._hasher.verify(password_hash, password.reveal())
        except (VerificationError, InvalidHashError):
            return False


def password_fingerprint(password_hash: str) -> str:
    """Return a short text that changes with the password and tells nothing about it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:32]


def make_password() -> Secret:
    """Return a random password of 120 bits that is easy to copy."""
    return Secret(secrets.token_urlsafe(15))


def _nobodys_hash() -> str:
    salt, tag = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${tag}"


_NOBODYS_HASH = _nobodys_hash()
