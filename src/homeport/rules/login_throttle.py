"""How long a sign-in must wait after wrong passwords. Why these rules: docs/decisions, "login slow-down"."""

import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

FORGET_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=30)

_RECORD_EVERY = timedelta(days=1)
_MAX_ADDRESS = 64
_MAX_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong passwords counted for one subject."""

    count: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoginHistory:
    """What is known before a password is checked.

    `pair` counts the account's failures from this address, `address` the first ones of each account from it,
    and `account` the account's from any address. `last_success_at` is when the account last signed in
    from this address, to the day.
    """

    pair: Failures = Failures()
    address: Failures = Failures()
    account: Failures = Failures()
    last_success_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Limit:
    free_failures: int
    longest_wait: timedelta


_PAIR = _Limit(free_failures=5, longest_wait=timedelta(minutes=15))
_KNOWN_PAIR = _Limit(free_failures=5, longest_wait=timedelta(seconds=30))
_ADDRESS = _Limit(free_failures=20, longest_wait=timedelta(minutes=15))
_ACCOUNT = _Limit(free_failures=10, longest_wait=timedelta(seconds=30))


def login_wait(history: LoginHistory, now: datetime) -> timedelta:
    """Return how long the next attempt must still wait; zero when it may be made now.

    After some free failures the wait doubles from one second up to the subject's longest. From an address
    that the account is known at, only that pair's own failures count.
    """
    if is_known_address(history, now):
        return _wait(history.pair, _KNOWN_PAIR, now)
    return max(
        _wait(history.pair, _PAIR, now),
        _wait(history.address, _ADDRESS, now),
        _wait(history.account, _ACCOUNT, now),
    )


def is_known_address(history: LoginHistory, now: datetime) -> bool:
    """Tell whether the account signed in from the address within KNOWN_FOR."""
    return history.last_success_at is not None and now - history.last_success_at < KNOWN_FOR


def is_success_news(history: LoginHistory, now: datetime) -> bool:
    """Tell whether a success must be recorded: it ends failures, or the last recorded one is a day old."""
    last = history.last_success_at
    return history.pair.count > 0 or last is None or now - last >= _RECORD_EVERY


def count_failure(failures: Failures, now: datetime) -> Failures:
    """Return the count after one more failure; those from before FORGET_AFTER are forgotten."""
    if failures.last_at is None or now - failures.last_at >= FORGET_AFTER:
        return Failures(1, now)
    return Failures(failures.count + 1, max(now, failures.last_at))


def counts_for_address(pair: Failures) -> bool:
    """Tell whether a pair's latest failure, counted in `pair`, counts for its address as well.

    Only the first ones do: the address counts how many accounts are tried from it, so one job that repeats
    an old password for days does not close it.
    """
    return pair.count <= _PAIR.free_failures


def retry_after_s(wait: timedelta) -> int:
    """Return the wait in whole seconds, at least one, for a Retry-After header."""
    return max(1, math.ceil(wait.total_seconds()))


def throttled_address(client_address: str) -> str:
    """Return what is counted as one address: an IPv4 address, or the /64 network of an IPv6 one.

    One customer or machine owns a whole /64. A text that is no address counts as it is, cut to 64
    characters.
    """
    try:
        address = ipaddress.ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address[:_MAX_ADDRESS]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def _wait(failures: Failures, limit: _Limit, now: datetime) -> timedelta:
    if failures.last_at is None or failures.count <= limit.free_failures:
        return timedelta(0)
    since = max(timedelta(0), now - failures.last_at)
    if since >= FORGET_AFTER:
        return timedelta(0)
    doublings = min(failures.count - limit.free_failures - 1, _MAX_DOUBLINGS)
    return max(timedelta(0), min(timedelta(seconds=2**doublings), limit.longest_wait) - since)
