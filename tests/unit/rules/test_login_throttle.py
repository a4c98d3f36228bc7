from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.login_throttle import (
    FORGET_AFTER,
    KNOWN_FOR,
    Failures,
    LoginHistory,
    count_failure,
    counts_for_address,
    is_known_address,
    is_success_news,
    login_wait,
    retry_after_s,
    throttled_address,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ZERO = timedelta(0)


def failed(count: int, ago: timedelta = ZERO) -> Failures:
    return Failures(count, NOW - ago)


@pytest.mark.parametrize(
    ("history", "expected_s"),
    [
        (LoginHistory(), 0),
        (LoginHistory(pair=failed(5)), 0),
        (LoginHistory(pair=failed(6)), 1),
        (LoginHistory(pair=failed(7)), 2),
        (LoginHistory(pair=failed(10)), 16),
        (LoginHistory(pair=failed(10, 10 * SECOND)), 6),
        (LoginHistory(pair=failed(10, 16 * SECOND)), 0),
        (LoginHistory(pair=failed(1_000_000)), 900),
        (LoginHistory(pair=failed(1_000_000, FORGET_AFTER)), 0),
        (LoginHistory(address=failed(20)), 0),
        (LoginHistory(address=failed(21)), 1),
        (LoginHistory(address=failed(1_000_000)), 900),
        (LoginHistory(account=failed(10)), 0),
        (LoginHistory(account=failed(11)), 1),
        (LoginHistory(account=failed(1_000_000)), 30),
        (LoginHistory(pair=failed(6), address=failed(23), account=failed(11)), 4),
        (LoginHistory(pair=failed(6, -10 * SECOND)), 1),
    ],
)
def test_login_wait_grows_with_failures_up_to_its_limit(history: LoginHistory, expected_s: int) -> None:
    assert login_wait(history, NOW) == expected_s * SECOND


def test_login_wait_at_a_known_address_counts_only_its_own_failures() -> None:
    many = failed(1_000_000)
    yesterday = NOW - timedelta(days=1)
    elsewhere = LoginHistory(address=many, account=many, last_success_at=yesterday)
    own = LoginHistory(pair=many, address=many, account=many, last_success_at=yesterday)
    assert (login_wait(elsewhere, NOW), login_wait(own, NOW)) == (ZERO, 30 * SECOND)


@given(
    pair=st.integers(0, 10**9),
    address=st.integers(0, 10**9),
    account=st.integers(0, 10**9),
    ago_s=st.integers(-3600, 10**6),
)
def test_login_wait_is_never_longer_than_a_quarter_of_an_hour(
    pair: int, address: int, account: int, ago_s: int
) -> None:
    ago = ago_s * SECOND
    history = LoginHistory(failed(pair, ago), failed(address, ago), failed(account, ago))
    assert ZERO <= login_wait(history, NOW) <= timedelta(minutes=15)


def test_count_failure_forgets_after_an_hour() -> None:
    just_before, after = FORGET_AFTER - SECOND, FORGET_AFTER
    assert count_failure(Failures(), NOW) == Failures(1, NOW)
    assert count_failure(failed(7, just_before), NOW) == Failures(8, NOW)
    assert count_failure(failed(7, after), NOW) == Failures(1, NOW)


def test_count_failure_with_a_clock_that_goes_back_keeps_the_later_time() -> None:
    later = NOW + 5 * SECOND
    assert count_failure(Failures(2, later), NOW) == Failures(3, later)


@pytest.mark.parametrize(
    ("ago", "known", "news"),
    [
        (ZERO, True, False),
        (timedelta(hours=23), True, False),
        (timedelta(days=1), True, True),
        (KNOWN_FOR - SECOND, True, True),
        (KNOWN_FOR, False, True),
    ],
)
def test_success_is_recorded_once_a_day_and_known_for_a_month(
    ago: timedelta,
    known: bool,  # noqa: FBT001 - a table
    news: bool,  # noqa: FBT001 - a table
) -> None:
    history = LoginHistory(last_success_at=NOW - ago)
    assert (is_known_address(history, NOW), is_success_news(history, NOW)) == (known, news)


def test_success_after_failures_and_the_first_one_are_recorded() -> None:
    assert is_success_news(LoginHistory(pair=failed(1), last_success_at=NOW), NOW)
    assert is_success_news(LoginHistory(), NOW)


@pytest.mark.parametrize(
    ("wait", "expected"), [(ZERO, 1), (timedelta(milliseconds=1), 1), (1.5 * SECOND, 2), (900 * SECOND, 900)]
)
def test_retry_after_is_whole_seconds(wait: timedelta, expected: int) -> None:
    assert retry_after_s(wait) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:" + "x" * 100, "unix:" + "x" * 59),
    ],
)
def test_throttled_address_is_what_one_customer_owns(text: str, expected: str) -> None:
    assert throttled_address(text) == expected


@dataclass
class Door:
    """Failures of one account as the database would count them, for whole attacks in no time."""

    pairs: dict[str, Failures] = field(default_factory=dict)
    addresses: dict[str, Failures] = field(default_factory=dict)
    account: Failures = field(default_factory=Failures)

    def wait(self, address: str, now: datetime, last_success_at: datetime | None = None) -> timedelta:
        """Return how long an attempt from the address must wait."""
        pair = self.pairs.get(address, Failures())
        by_address = self.addresses.get(address, Failures())
        return login_wait(LoginHistory(pair, by_address, self.account, last_success_at), now)

    def guess(self, address: str, now: datetime) -> bool:
        """Try a wrong password; tells whether it was looked at."""
        if self.wait(address, now):
            return False
        self.pairs[address] = count_failure(self.pairs.get(address, Failures()), now)
        self.account = count_failure(self.account, now)
        if counts_for_address(self.pairs[address]):
            self.addresses[address] = count_failure(self.addresses.get(address, Failures()), now)
        return True


def test_one_guessing_machine_gets_few_attempts_and_keeps_nobody_out() -> None:
    door = Door()
    guesses, blocked_s = 0, 0
    for second in range(3600):
        now = NOW + second * SECOND
        guesses += sum(door.guess("attacker", now) for _ in range(3))
        blocked_s += door.wait("owner", now) > ZERO
        assert door.wait("owner", now, last_success_at=NOW - timedelta(days=3)) == ZERO
    assert guesses < 20
    assert blocked_s < 600


def test_many_guessing_machines_get_few_attempts_and_never_reach_known_addresses() -> None:
    door = Door()
    guesses = 0
    for second in range(3600):
        now = NOW + second * SECOND
        guesses += sum(door.guess(f"attacker-{number}", now) for number in range(50))
        assert door.wait("owner", now) <= 30 * SECOND
        assert door.wait("owner", now, last_success_at=NOW - timedelta(days=3)) == ZERO
    assert guesses < 140


def test_one_machine_that_tries_many_accounts_gets_few_attempts() -> None:
    address = Failures()
    guesses = 0
    for second in range(3600):
        now = NOW + second * SECOND
        for _ in range(3):
            if not login_wait(LoginHistory(address=address), now):
                address = count_failure(address, now)
                guesses += 1
    assert guesses < 40


def test_job_with_an_old_password_does_not_close_its_address() -> None:
    door = Door()
    for second in range(24 * 3600):
        now = NOW + second * SECOND
        door.guess("shared", now)
        door.account = Failures()
        assert login_wait(LoginHistory(address=door.addresses["shared"]), now) == ZERO
