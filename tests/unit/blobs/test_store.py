import pytest

from homeport.blobs.store import (
    BlobDamagedError,
    BlobUnknownError,
    DigestMismatchError,
    OffsetMismatchError,
    StorageFullError,
    StorageUnavailableError,
    UploadBusyError,
    UploadUnknownError,
)
from homeport.errors import HomeportError
from homeport.oci.digest import Digest

A = Digest.of(b"a")
B = Digest.of(b"b")


@pytest.mark.parametrize(
    ("error", "says", "hints"),
    [
        (BlobUnknownError(A), str(A), ""),
        (BlobDamagedError(A, 7), "ends after 7 bytes", "backup"),
        (DigestMismatchError(A, B), f"{B}, not {A}", ""),
        (UploadUnknownError(), "not known", "start a new upload"),
        (UploadBusyError(), "another request", "wait"),
        (OffsetMismatchError(9), "received 9 bytes", "offset 9"),
        (StorageUnavailableError("broken", hint="repair it"), "broken", "repair it"),
        (StorageFullError("full"), "full", ""),
    ],
)
def test_errors_explain_themselves(error: HomeportError, says: str, hints: str) -> None:
    assert says in str(error)
    assert hints in error.hint


def test_errors_carry_the_facts() -> None:
    mismatch = DigestMismatchError(A, B)
    damaged = BlobDamagedError(A, 7)
    assert (mismatch.expected, mismatch.actual) == (A, B)
    assert (damaged.digest, damaged.size_bytes) == (A, 7)
    assert OffsetMismatchError(9).size_bytes == 9
    assert BlobUnknownError(B).digest == B


def test_a_full_storage_is_an_unavailable_one() -> None:
    assert isinstance(StorageFullError("full"), StorageUnavailableError)
