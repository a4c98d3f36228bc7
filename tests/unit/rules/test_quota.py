import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.errors import OciErrorCode
from homeport.rules.quota import (
    MAX_STORAGE_BYTES,
    UNLIMITED,
    QuotaExceededError,
    QuotaState,
    StorageLimitInvalidError,
    check_storage_limit,
    format_bytes,
)


@pytest.mark.parametrize(
    ("hard", "used", "added", "fits"),
    [
        (UNLIMITED, 10**15, 10**15, True),
        (100, 0, 100, True),
        (100, 0, 101, False),
        (100, 100, 0, True),
        (100, 100, 1, False),
        (100, 500, 1, False),
        (100, 500, 0, True),
    ],
)
def test_room_is_what_the_limit_leaves(*, hard: int, used: int, added: int, fits: bool) -> None:
    assert QuotaState(hard, used).has_room(added) is fits


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5000, "4.9 KiB"),
        (10 * 1024**2, "10.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (1024**4, "1.0 TiB"),
        (2**63, "8192.0 PiB"),
    ],
)
def test_sizes_are_written_for_people(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@given(st.integers())
def test_storage_limit_is_a_sensible_number_or_refused(limit_bytes: int) -> None:
    if limit_bytes == UNLIMITED or 0 < limit_bytes <= MAX_STORAGE_BYTES:
        assert check_storage_limit(limit_bytes) == limit_bytes
    else:
        with pytest.raises(StorageLimitInvalidError):
            check_storage_limit(limit_bytes)


def test_exceeded_quota_says_by_how_much() -> None:
    error = QuotaExceededError(QuotaState(4096, 1024), 5000)

    assert error.code is OciErrorCode.DENIED
    assert str(error) == (
        "Quota exceeded when processing the request of adding 4.9 KiB of storage resource, which when "
        "updated to current usage of 1.0 KiB will exceed the configured upper limit of 4.0 KiB."
    )
