"""The pull journal: whole lines, in files that say whether they may still grow."""

import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.registry.journal import SUFFIX, JournalError, PullJournal, parse_lines

FIELDS = ("alice", "basic", "10.0.0.1", "skopeo/1.9", "id-1", "library/app", "latest", "sha256:" + "a" * 64)


def journals_of(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}"))


def is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_appended_pull_is_read_back(tmp_path: Path) -> None:
    journal = PullJournal(tmp_path / "journal")
    journal.append(FIELDS)
    (path,) = journals_of(tmp_path / "journal")

    (record,) = parse_lines(path.read_bytes())
    journal.close()

    assert abs(record.recorded_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (record.operation, record.outcome, record.project) == ("pull", "success", "library")
    assert (
        record.principal,
        record.auth_method,
        record.client_address,
        record.user_agent,
        record.request_id,
        record.repository,
        record.reference,
        record.digest,
    ) == FIELDS


def test_journal_is_locked_while_it_may_grow(tmp_path: Path) -> None:
    journal = PullJournal(tmp_path)
    journal.append(FIELDS)
    (path,) = journals_of(tmp_path)

    assert is_locked(path)
    journal.close()
    assert not is_locked(path)


def test_closed_journal_goes_on_in_another_file(tmp_path: Path) -> None:
    journal = PullJournal(tmp_path)
    for _ in range(3):
        journal.append(FIELDS)
        journal.close()

    assert [len(list(parse_lines(path.read_bytes()))) for path in journals_of(tmp_path)] == [1, 1, 1]


def test_nothing_is_written_before_the_first_pull(tmp_path: Path) -> None:
    PullJournal(tmp_path / "journal").close()

    assert not (tmp_path / "journal").exists()


def test_journal_grows_by_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeport.registry.journal._MAX_SEGMENT_BYTES", 1000)
    journal = PullJournal(tmp_path)
    for _ in range(20):
        journal.append(FIELDS)
    journal.close()

    sizes = [path.stat().st_size for path in journals_of(tmp_path)]
    assert sum(len(list(parse_lines(path.read_bytes()))) for path in journals_of(tmp_path)) == 20
    assert len(sizes) > 1
    assert max(sizes) < 1000 + 300


def test_pull_that_cannot_be_written_down_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no directory")

    with pytest.raises(JournalError):
        PullJournal(tmp_path / "journal").append(FIELDS)


def test_synced_pull_is_on_the_disk_with_its_name(tmp_path: Path, traced: Callable[[], list[str]]) -> None:
    journal = PullJournal(tmp_path, is_synced=True)
    journal.append(FIELDS)
    journal.append(FIELDS)
    journal.close()

    assert traced() == ["fsync directory", "fsync directory", "fdatasync file", "fdatasync file"]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return what lists the flushes so far."""
    flushes = []

    def listen(name: str) -> None:
        real = getattr(os, name)

        def flush(descriptor: int) -> None:
            kind = "directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"  # noqa: PTH112
            flushes.append(f"{name} {kind}")
            real(descriptor)

        monkeypatch.setattr(os, name, flush)

    listen("fsync")
    listen("fdatasync")
    return lambda: flushes


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00\x00\x00",
        b"[",
        b"{}",
        b"[1,2]",
        b"\xff\xfe",
        b'["x","a","b","c","d","e","f","g","h"]',
        b'[1e400,"a","b","c","d","e","f","g","h"]',
        b'[9223372036854775807,"a","b","c","d","e","f","g","h"]',
        b'[1,2,"b","c","d","e","f","g","h"]',
        b'[1,"a\\u0000","b","c","d","e","f","g","h"]',
    ],
)
def test_damaged_line_is_a_record_that_says_so(line: bytes) -> None:
    whole = orjson.dumps((1_000_000, *FIELDS))

    records = list(parse_lines(b"\n".join([whole, line, whole, b""])))

    assert [record.outcome for record in records] == ["success", "damaged", "success"]
    assert "\x00" not in (records[1].detail or "")


@given(st.binary(max_size=300))
def test_any_bytes_make_records(content: bytes) -> None:
    for record in parse_lines(content):
        assert record.operation == "pull"
        assert "\x00" not in (record.detail or "")


@given(st.lists(st.tuples(*[st.text(max_size=20)] * 8), max_size=5))
def test_any_fields_are_read_back(pulls: list[tuple[str, ...]]) -> None:
    lines = b"".join(orjson.dumps((7, *pull)) + b"\n" for pull in pulls if "\x00" not in "".join(pull))

    records = list(parse_lines(lines))

    expected = [pull for pull in pulls if "\x00" not in "".join(pull)]
    assert [(record.principal, record.digest) for record in records] == [
        (pull[0], pull[7]) for pull in expected
    ]
