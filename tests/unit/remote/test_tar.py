import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.remote.errors import NotFoundError, ProtocolError, RemoteError
from homeport.remote.tar import MAX_EXTENDED_HEADER_BYTES, read_tar_index


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def write(
    path: Path, *entries: tuple[tarfile.TarInfo, bytes], archive_format: int = tarfile.PAX_FORMAT
) -> Path:
    with tarfile.open(path, "w", format=archive_format) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_found_in_every_format(archive_format: int, tmp_path: Path) -> None:
    contents = {"a": b"", "./b/c": b"x" * 511, "d": b"y" * 512, "e" * 90: b"z" * 513}
    if archive_format != tarfile.USTAR_FORMAT:
        contents["f" * 300] = b"long"
        contents["dir/é"] = b"unicode"
    directory = entry("b", type=tarfile.DIRTYPE)
    entries = [directory, *(entry(name, content) for name, content in contents.items())]
    index = read_tar_index(write(tmp_path / "a.tar", *entries, archive_format=archive_format))
    for name, content in contents.items():
        assert index.locate(name.removeprefix("./")).read(1000) == content


def test_links_within_the_archive_are_followed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tar",
        entry("one/layer.tar", b"layer"),
        link("two/layer.tar", "../one/layer.tar"),
        link("three/layer.tar", "two/layer.tar", tarfile.LNKTYPE),
    )
    index = read_tar_index(path)
    for name in ("one", "two", "three"):
        assert index.locate(f"{name}/layer.tar").read(100) == b"layer"


@pytest.mark.parametrize(
    "bad",
    [
        entry("/etc/passwd", b"x"),
        entry("../x", b"x"),
        entry("a/../../x", b"x"),
        link("a", "/etc/passwd"),
        link("a/b", "../../x"),
        link("a", "../x", tarfile.LNKTYPE),
    ],
)
def test_entries_that_lead_out_are_refused(bad: tuple[tarfile.TarInfo, bytes], tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="leads out"):
        read_tar_index(write(tmp_path / "a.tar", bad))


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    index = read_tar_index(write(tmp_path / "a.tar", link("a", "b"), link("b", "a"), link("c", "absent")))
    with pytest.raises(ProtocolError, match="leads nowhere"):
        index.locate("a")
    with pytest.raises(NotFoundError):
        index.locate("c")


def test_last_entry_of_a_name_counts(tmp_path: Path) -> None:
    index = read_tar_index(write(tmp_path / "a.tar", entry("a", b"old"), entry("a", b"new")))
    assert index.locate("a").read(10) == b"new"


def test_size_in_an_extended_header_counts(tmp_path: Path) -> None:
    info, content = entry("a", b"x" * 1000)
    info.pax_headers = {"size": "1000"}
    assert read_tar_index(write(tmp_path / "a.tar", (info, content))).locate("a").size_bytes == 1000


def test_cut_archive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", entry("a", b"x" * 100_000))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ProtocolError, match="cut off"):
        read_tar_index(path)


def test_huge_extended_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, MAX_EXTENDED_HEADER_BYTES + 1
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf() + bytes(2 * MAX_EXTENDED_HEADER_BYTES))
    with pytest.raises(ProtocolError, match="header of"):
        read_tar_index(path)


def test_sparse_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(entry("a", type=tarfile.GNUTYPE_SPARSE)[0].tobuf() + bytes(1024))
    with pytest.raises(ProtocolError, match="sparse"):
        read_tar_index(path)


def test_other_things_are_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive " * 100)
    with pytest.raises(ProtocolError, match="not a tar archive"):
        read_tar_index(tmp_path / "text")
    with pytest.raises(NotFoundError):
        read_tar_index(tmp_path / "absent")
    with pytest.raises(RemoteError, match="not a regular file"):
        read_tar_index(tmp_path)


@settings(max_examples=60)
@given(noise=st.binary(max_size=200), position=st.integers(0, 3000))
def test_damaged_archive_is_an_error_or_an_index(
    noise: bytes, position: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("tar") / "a.tar", entry("é" * 60, b"x" * 700), link("l", "é" * 60))
    content = bytearray(path.read_bytes())
    content[position : position + len(noise)] = noise
    path.write_bytes(content)
    try:
        index = read_tar_index(path)
        index.locate("l")
    except RemoteError:
        pass
