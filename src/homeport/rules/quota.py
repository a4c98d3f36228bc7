"""How much a project may store, and what is said when it is too much."""

from dataclasses import dataclass

from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode

UNLIMITED = -1
MAX_STORAGE_BYTES = 1024 * 1024**4

_STEP = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


class StorageLimitInvalidError(HomeportError):
    """The number is no storage limit."""


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A project's limit, -1 for none, and what counts against it."""

    hard_bytes: int
    used_bytes: int

    def has_room(self, added_bytes: int) -> bool:
        """Tell whether so much more may be stored; what adds nothing always may."""
        if self.hard_bytes == UNLIMITED or added_bytes <= 0:
            return True
        return self.used_bytes + added_bytes <= self.hard_bytes


class QuotaExceededError(OciError):
    """The project's quota has no room for the content (Harbor's code and words)."""

    def __init__(self, state: QuotaState, added_bytes: int) -> None:
        used, hard = format_bytes(state.used_bytes), format_bytes(state.hard_bytes)
        super().__init__(
            OciErrorCode.DENIED,
            f"Quota exceeded when processing the request of adding {format_bytes(added_bytes)} of storage "
            f"resource, which when updated to current usage of {used} will exceed the configured upper limit "
            f"of {hard}.",
            detail={"hard": state.hard_bytes, "used": state.used_bytes, "added": added_bytes},
            hint="delete images or ask an administrator for a larger quota",
        )


def check_storage_limit(limit_bytes: int) -> int:
    """Return the limit unchanged when it is one: -1, or 1 byte to 1024 TiB.

    Raises StorageLimitInvalidError.
    """
    if limit_bytes != UNLIMITED and not 0 < limit_bytes <= MAX_STORAGE_BYTES:
        raise StorageLimitInvalidError(
            "the storage limit must be -1 for unlimited, or from 1 byte to 1024 TiB",
            hint="give it as a number of bytes",
        )
    return limit_bytes


def format_bytes(size_bytes: int) -> str:
    """Return the size for people, with one decimal from 1 KiB on."""
    if size_bytes < _STEP:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in _UNITS:
        size /= _STEP
        if size < _STEP or unit == _UNITS[-1]:
            return f"{size:.1f} {unit}"
    raise AssertionError
