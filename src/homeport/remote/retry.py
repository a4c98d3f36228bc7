"""When to try again: growing pauses with jitter, and what the other side asks for (`Retry-After`)."""

import asyncio
import datetime as dt
import email.utils
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from homeport.remote.errors import TransientError

T = TypeVar("T")

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after which pauses a request that failed for now is repeated."""

    attempts: int = 6
    base_s: float = 0.5
    max_s: float = 20.0
    max_retry_after_s: float = 60.0

    def pause_s(self, failures: int, retry_after_s: float | None) -> float | None:
        """Return the pause after this many failures in a row, None when it is time to give up.

        What the other side asked for is honoured up to `max_retry_after_s`.
        """
        if failures >= self.attempts:
            return None
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.max_retry_after_s)
        growing_s: float = self.base_s * 2.0 ** (failures - 1)
        return min(self.max_s, growing_s) * _jitter.uniform(0.5, 1.0)


def parse_retry_after(value: str | None, now: dt.datetime) -> float | None:
    """Return the seconds to wait that the header asks for (RFC 9110, 10.2.3), None when it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max((moment - now).total_seconds(), 0.0)


async def retrying(policy: RetryPolicy, attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what the attempt returns, repeating it after pauses while it raises TransientError."""
    failures = 0
    while True:
        try:
            return await attempt()
        except TransientError as error:
            failures += 1
            await pause_after(policy, failures, error)


async def pause_after(policy: RetryPolicy, failures: int, error: TransientError) -> None:
    """Wait as the policy says after this many failures in a row, or raise the error to give up."""
    pause_s = policy.pause_s(failures, error.retry_after_s)
    if pause_s is None:
        raise error
    await asyncio.sleep(pause_s)
