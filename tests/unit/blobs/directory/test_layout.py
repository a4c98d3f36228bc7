from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.blobs.directory.layout import Layout
from homeport.blobs.store import UploadUnknownError
from homeport.oci.digest import Digest

UPLOAD_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "store")
    layout.make_directories()
    return layout


def test_directories_are_made_once(layout: Layout) -> None:
    made = sorted(layout.root.rglob("*"))
    layout.make_directories()
    assert sorted(layout.root.rglob("*")) == made
    assert len(made) == 2 + 2 + 2 * 256


def test_directories_that_are_missing_are_made_again(layout: Layout) -> None:
    (layout.blobs / "sha512" / "a7").rmdir()
    layout.uploads.rmdir()
    layout.make_directories()
    assert (layout.blobs / "sha512" / "a7").is_dir()
    assert layout.uploads.is_dir()


def test_root_is_made_in_a_parent_that_exists(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Layout(tmp_path / "not mounted" / "store").make_directories()


def test_blob_lies_under_its_algorithm_and_first_digits() -> None:
    digest = Digest.of(b"", "sha512")
    expected = Path("/srv/blobs/sha512/cf") / digest.encoded
    assert Layout(Path("/srv")).blob(digest) == expected


@given(st.text())
def test_session_lies_in_uploads_whoever_owns_it(owner: str) -> None:
    path = Layout(Path("/srv")).session(UPLOAD_ID, owner)
    assert path.parent == Path("/srv/uploads")
    assert path.name.startswith(UPLOAD_ID + ".")
    assert len(path.name) == 69
    assert path.name.isascii()


@given(st.text(), st.text())
def test_owners_have_sessions_of_their_own(first: str, second: str) -> None:
    layout = Layout(Path("/srv"))
    assert (layout.session(UPLOAD_ID, first) == layout.session(UPLOAD_ID, second)) == (first == second)


@given(st.text() | st.from_regex(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}.+"))
def test_no_other_text_becomes_a_session(upload_id: str) -> None:
    with pytest.raises(UploadUnknownError):
        Layout(Path("/srv")).session(upload_id, "library/nginx")


def test_digests_are_those_of_files_in_their_place(layout: Layout) -> None:
    here, elsewhere, directory = Digest.of(b"1"), Digest.of(b"2"), Digest.of(b"3")
    layout.blob(here).touch()
    (layout.blobs / "sha256" / "00" / elsewhere.encoded).touch()
    layout.blob(directory).mkdir()
    assert list(layout.digests()) == [here]


def test_strays_are_everything_else(layout: Layout) -> None:
    kept = Digest.of(b"1")
    layout.blob(kept).touch()
    for stray in ("blobs/x", "blobs/sha256/zz", "blobs/sha256/00/y", "blobs/sha512/00/" + "0" * 64):
        (layout.root / stray).touch()
    (layout.blobs / "sha256" / "00" / Digest.of(b"2").encoded).touch()
    (layout.blobs / "sha256" / "01" / ("01" + "0" * 62)).symlink_to("/etc/passwd")
    assert sorted(layout.strays()) == [
        "blobs/sha256/00/" + Digest.of(b"2").encoded,
        "blobs/sha256/00/y",
        "blobs/sha256/01/01" + "0" * 62,
        "blobs/sha256/zz",
        "blobs/sha512/00/" + "0" * 64,
        "blobs/x",
    ]
    assert list(layout.digests()) == [kept]


def test_sessions_and_lost_notes_are_told_apart(layout: Layout) -> None:
    session = layout.session(UPLOAD_ID, "library/nginx")
    session.write_bytes(b"abc")
    session.with_name(session.name + ".digest").touch()
    lost = layout.session(UPLOAD_ID, "library/other")
    lost.with_name(lost.name + ".digest").touch()
    (layout.uploads / "README").touch()
    assert [(path, status.size_bytes) for path, status in layout.sessions()] == [(session, 3)]
    assert list(layout.lost_notes()) == [lost.with_name(lost.name + ".digest")]
