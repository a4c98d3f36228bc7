"""Files of charts, and archives that are none."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.chart_archive import ChartArchiveInvalidError, read_chart_file


def packed(*entries: tuple[tarfile.TarInfo, bytes], format_: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1)


def file_of(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    return entry, content


def link_to(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def test_file_is_found_in_the_charts_directory_in_any_case() -> None:
    archive = packed(
        file_of("web/charts/db/README.md", b"no"),
        file_of("README.md", b"no"),
        file_of("web/Readme.md", b"yes"),
    )

    assert read_chart_file(archive, "readme.md") == b"yes"
    assert read_chart_file(archive, "values.yaml") is None


def test_file_with_a_dot_before_its_directory_is_found() -> None:
    assert read_chart_file(packed(file_of("./web/values.yaml", b"a: 1")), "values.yaml") == b"a: 1"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_passed_over(kind: bytes) -> None:
    archive = packed(link_to("web/values.yaml", "/etc/passwd", kind))

    assert read_chart_file(archive, "values.yaml") is None


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"text",
        gzip.compress(b"text" * 500),
        packed(file_of("web/a", b"x" * 5000))[:-30],
        packed(file_of("web/a", bytes(40 * 1024 * 1024))),
        packed(file_of("web/values.yaml", bytes(3 * 1024 * 1024))),
        packed(*(file_of(f"web/{number}", b"") for number in range(5001))),
        packed(file_of("web/" + "x" * 40_000_000, b"")),
    ],
    ids=["nothing", "no gzip", "no tar", "cut off", "bomb", "large file", "many files", "long name"],
)
def test_bad_archive_is_refused(archive: bytes) -> None:
    with pytest.raises(ChartArchiveInvalidError):
        read_chart_file(archive, "values.yaml")


VALID = packed(file_of("web/Chart.yaml", b"name: web"), file_of("web/values.yaml", b"a: 1"))


@given(st.binary(max_size=600), st.integers(0, 600))
def test_any_bytes_are_read_or_refused(noise: bytes, position: int) -> None:
    tar = gzip.decompress(VALID)
    damaged = tar[:position] + noise + tar[position + len(noise) :]

    try:
        found = read_chart_file(gzip.compress(damaged, 1), "values.yaml")
    except ChartArchiveInvalidError:
        return

    assert found is None or len(found) <= len(damaged)
