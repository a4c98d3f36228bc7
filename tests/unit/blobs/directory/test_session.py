import os
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.blobs.directory.interruption import before_each

from homeport.blobs.directory.session import (
    NOTE_SUFFIX,
    RunningHash,
    UploadSession,
    create_session,
    forget_note,
    remove_session,
    status_of,
)
from homeport.blobs.store import UploadBusyError, UploadUnknownError
from homeport.oci.digest import Digest

BOOT = "0f3cbb6a-1bd8-4d0a-bb9f-4f7c7c4b9d0e"
LARGE = b"0123456789abcdef" * (5 * 65536)
OTHER = b"fedcba9876543210" * (5 * 65536)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "session"
    create_session(path, "sha256")
    return path


@pytest.fixture
def noted(path: Path) -> Path:
    """Return a session of LARGE whose digest has been noted."""
    with closing(UploadSession(path, None)) as session:
        session.write([LARGE])
        session.note_digest(BOOT)
    return path


def note_of(path: Path) -> Path:
    return path.with_name(path.name + NOTE_SUFFIX)


def digest_of(path: Path, expected: Digest, boot_id: str = BOOT) -> Digest:
    with closing(UploadSession(path, None)) as session:
        return session.digest(expected, boot_id)


def bytes_read_by_this_process() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def replace_content(path: Path, content: bytes) -> None:
    """Put other content into the same file and hide the change, as a power failure might."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_session_starts_empty_and_grows(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([b"ab", b"", b"c"])
        session.write([])
        session.write([b"d"])
        assert session.size_bytes == 4
        assert session.status().size_bytes == 4
        assert session.digest(Digest.of(b"abcd"), BOOT) == Digest.of(b"abcd")
    assert path.read_bytes() == b"abcd"
    assert status_of(path.stat()).size_bytes == 4


def test_session_needs_its_file(tmp_path: Path) -> None:
    with pytest.raises(UploadUnknownError):
        UploadSession(tmp_path / "absent", None)
    with pytest.raises(UploadUnknownError):
        remove_session(tmp_path / "absent")


def test_session_does_not_follow_links(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        UploadSession(link, None)


def test_session_has_one_user(path: Path) -> None:
    with closing(UploadSession(path, None)), pytest.raises(UploadBusyError):
        UploadSession(path, None)
    UploadSession(path, None).close()


def test_session_that_became_a_blob_before_it_was_locked_is_unknown(path: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    with before_each({"flock"}, lambda _: path.rename(blob)), pytest.raises(UploadUnknownError):
        UploadSession(path, None)
    assert blob.exists()


def test_session_that_was_replaced_before_it_was_locked_is_unknown(path: Path) -> None:
    def replace(_: str) -> None:
        path.unlink()
        path.touch()

    with path.open("rb"), before_each({"flock"}, replace), pytest.raises(UploadUnknownError):
        UploadSession(path, None)


def test_cancelled_session_takes_nothing_more(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        remove_session(path)
        with pytest.raises(UploadUnknownError):
            session.write([b"lost"])


def test_create_session_refuses_an_existing_file(path: Path) -> None:
    with pytest.raises(FileExistsError):
        create_session(path, "sha256")


def test_running_hash_goes_on(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([b"one "])
        running = session.running
    with closing(UploadSession(path, running)) as session:
        session.write([b"two"])
        assert session.running is running
        assert session.digest(Digest.of(b"one two"), BOOT) == Digest.of(b"one two")


def test_running_hash_of_another_state_is_dropped(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([b"one "])
        running = session.running
    assert running is not None
    with path.open("ab") as file:
        file.write(b"by another process ")
    with closing(UploadSession(path, running)) as session:
        assert session.running is None
        session.write([b"two"])
        expected = Digest.of(b"one by another process two")
        assert session.digest(expected, BOOT) == expected


def test_running_hash_of_another_file_is_dropped(tmp_path: Path, path: Path) -> None:
    other = create_session(tmp_path / "other", "sha512")
    with closing(UploadSession(path, other)) as session:
        assert session.running is not other


def test_hash_of_the_other_algorithm_reads_the_file(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([b"content"])
        expected = Digest.of(b"content", "sha512")
        assert session.digest(expected, BOOT) == expected


def test_small_content_is_not_noted(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([b"small"])
        session.note_digest(BOOT)
    assert not note_of(path).exists()


def test_note_spares_reading_the_file_again(noted: Path) -> None:
    before = bytes_read_by_this_process()
    assert digest_of(noted, Digest.of(LARGE)) == Digest.of(LARGE)
    assert bytes_read_by_this_process() - before < len(LARGE) // 2


def test_content_is_read_when_the_note_does_not_agree(noted: Path) -> None:
    assert digest_of(noted, Digest.of(b"another")) == Digest.of(LARGE)
    note = note_of(noted)
    stamp = note.read_text().split()[0]
    note.write_text(f"{stamp} {Digest.of(b'forged')}\n")
    assert digest_of(noted, Digest.of(LARGE)) == Digest.of(LARGE)


def test_damaged_note_is_not_believed(noted: Path) -> None:
    note = note_of(noted)
    whole = note.read_bytes()
    for damaged in (
        b"",
        b"\0" * len(whole),
        b"\xff" * len(whole),
        whole[:-1],
        whole[:60],
        whole * 2,
        whole[1:],
    ):
        note.write_bytes(damaged)
        before = bytes_read_by_this_process()
        assert digest_of(noted, Digest.of(LARGE)) == Digest.of(LARGE)
        assert bytes_read_by_this_process() - before >= len(LARGE)


def test_note_of_an_earlier_size_is_not_believed(noted: Path) -> None:
    with noted.open("ab") as file:
        file.write(b"more")
    assert digest_of(noted, Digest.of(LARGE)) == Digest.of(LARGE + b"more")


def test_note_of_changed_content_is_not_believed(noted: Path) -> None:
    with noted.open("r+b") as file:
        file.write(OTHER)
    os.utime(noted, ns=(0, noted.stat().st_mtime_ns + 1))
    assert digest_of(noted, Digest.of(LARGE)) == Digest.of(OTHER)


@pytest.mark.parametrize("boot_id", ["another boot", ""])
def test_note_from_before_a_power_failure_is_not_believed(noted: Path, boot_id: str) -> None:
    replace_content(noted, OTHER)
    assert digest_of(noted, Digest.of(LARGE), boot_id) == Digest.of(OTHER)


def test_note_is_not_made_without_a_boot_id(path: Path) -> None:
    with closing(UploadSession(path, None)) as session:
        session.write([LARGE])
        session.note_digest("")
    assert not note_of(path).exists()


def test_note_that_cannot_be_written_is_done_without(path: Path) -> None:
    note_of(path).mkdir()
    with closing(UploadSession(path, None)) as session:
        session.write([LARGE])
        session.note_digest(BOOT)
        assert session.size_bytes == len(LARGE)


def test_remove_session_leaves_nothing(noted: Path) -> None:
    assert note_of(noted).exists()
    remove_session(noted)
    assert list(noted.parent.iterdir()) == []


def test_forget_note_may_be_repeated(noted: Path) -> None:
    forget_note(noted)
    forget_note(noted)
    assert list(noted.parent.iterdir()) == [noted]


def test_running_hash_is_of_the_new_file(tmp_path: Path) -> None:
    running = create_session(tmp_path / "new", "sha512")
    assert isinstance(running, RunningHash)
    assert (running.algorithm, running.size_bytes) == ("sha512", 0)
    assert running.inode == (tmp_path / "new").stat().st_ino
