import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.remote.errors import TransientError
from homeport.remote.retry import RetryPolicy, parse_retry_after, retrying

NOW = dt.datetime(2026, 11, 24, 10, 0, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("-5", None),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 0.0),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_is_read(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, NOW) == expected


@given(st.text(max_size=40))
def test_any_retry_after_is_read_to_something(value: str) -> None:
    found = parse_retry_after(value, NOW)
    assert found is None or found >= 0


def test_pauses_grow_up_to_a_limit_and_end() -> None:
    policy = RetryPolicy(attempts=8, base_s=1, max_s=10)
    pauses = [policy.pause_s(failures, None) for failures in range(1, 9)]
    assert pauses[-1] is None
    for failures, pause_s in enumerate(pauses[:-1]):
        expected = min(10.0, 2.0**failures)
        assert pause_s is not None
        assert expected / 2 <= pause_s <= expected


def test_what_the_other_side_asks_for_is_honoured_within_limits() -> None:
    policy = RetryPolicy(attempts=3, max_retry_after_s=60)
    assert policy.pause_s(1, 7) == 7
    assert policy.pause_s(1, 3600) == 60
    assert policy.pause_s(3, 7) is None


@pytest.mark.anyio
async def test_attempts_are_repeated_only_for_transient_errors() -> None:
    policy, calls = RetryPolicy(attempts=3, base_s=0, max_s=0), 0

    async def attempt() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise TransientError("later")
        return calls

    assert await retrying(policy, attempt) == 3
    calls = -10
    with pytest.raises(TransientError):
        await retrying(policy, attempt)
    assert calls == -7
