import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.blobs.directory.files import (
    make_directory,
    storage_error,
    storage_errors,
    sync_directory,
    write_all,
)
from homeport.blobs.store import StorageFullError, StorageUnavailableError

ROOT = Path("/srv/homeport")


@pytest.mark.parametrize(
    ("code", "kind", "says", "hints"),
    [
        (errno.ENOSPC, StorageFullError, "full", "/srv/homeport"),
        (errno.EDQUOT, StorageFullError, "full", "/srv/homeport"),
        (errno.EFBIG, StorageFullError, "full", "/srv/homeport"),
        (errno.EROFS, StorageUnavailableError, "cannot be written to", "mount options"),
        (errno.EACCES, StorageUnavailableError, "cannot be written to", "owner, mode"),
        (errno.ENOENT, StorageUnavailableError, "missing", "is mounted"),
        (errno.ENOTDIR, StorageUnavailableError, "missing", "is mounted"),
        (errno.EMFILE, StorageUnavailableError, "too many files", "ulimit"),
        (errno.EIO, StorageUnavailableError, "Input/output error", "check the disk"),
    ],
)
def test_storage_errors_say_what_happened_and_what_to_do(
    code: int, kind: type[StorageUnavailableError], says: str, hints: str
) -> None:
    error = storage_error(ROOT, OSError(code, os.strerror(code)))
    assert type(error) is kind
    assert says in str(error)
    assert hints in error.hint


def test_storage_errors_pass_other_errors_on() -> None:
    with pytest.raises(ValueError, match="mine"), storage_errors(ROOT):
        raise ValueError("mine")
    with pytest.raises(StorageUnavailableError) as caught, storage_errors(ROOT):
        raise OSError(errno.EIO, "broken")
    assert isinstance(caught.value.__cause__, OSError)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_write_all_writes_and_yields_everything_in_order(buffers: list[bytes]) -> None:
    reading, writing = os.pipe()
    try:
        assert b"".join(write_all(writing, buffers)) == b"".join(buffers)
        os.close(writing)
        writing = -1
        assert os.read(reading, 10_000) == b"".join(buffers)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def test_write_all_takes_more_buffers_than_the_system_does(tmp_path: Path) -> None:
    buffers = [b"%d," % number for number in range(5000)]
    with (tmp_path / "file").open("wb", buffering=0) as file:
        pieces = list(write_all(file.fileno(), buffers))
    assert len(pieces) == 5000
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)


def test_write_all_yields_exactly_what_was_taken_before_a_refusal() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pieces: list[memoryview] = []
    try:
        with pytest.raises(BlockingIOError):
            pieces.extend(write_all(writing, [b"a" * 50_000, b"b" * 50_000]))
        written = b"".join(pieces)
        assert 0 < len(written) < 100_000
        assert os.read(reading, 200_000) == written
    finally:
        os.close(reading)
        os.close(writing)


def test_make_directory_may_be_repeated_but_makes_one_level(tmp_path: Path) -> None:
    make_directory(tmp_path / "a")
    make_directory(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o007 == 0
    with pytest.raises(FileNotFoundError):
        make_directory(tmp_path / "b" / "c")


def test_sync_directory_wants_a_directory(tmp_path: Path) -> None:
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
