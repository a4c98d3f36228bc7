import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.errors import OciErrorCode
from homeport.oci.ranges import (
    MAX_RANGES,
    ByteRange,
    RangeUnsatisfiableError,
    parse_content_range,
    parse_range,
    upload_range,
)

SIZE = 2048


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=500-1499", [(500, 1500)]),
        ("bytes=500-", [(500, 2048)]),
        ("bytes=-500", [(1548, 2048)]),
        ("bytes=2000-5000", [(2000, 2048)]),
        ("bytes=0-", [(0, 2048)]),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=2047-2047", [(2047, 2048)]),
        ("bytes=-1", [(2047, 2048)]),
        ("bytes=-99999", [(0, 2048)]),
        ("bytes=0-999999999999999999", [(0, 2048)]),
        ("Bytes=0-1", [(0, 2)]),
        ("  bytes=0-1  ", [(0, 2)]),
        ("bytes= 0-1 , 4-5 ", [(0, 2), (4, 6)]),
        ("bytes=0-1,,4-5,", [(0, 2), (4, 6)]),
        ("bytes=4-5,0-1", [(4, 6), (0, 2)]),
        ("bytes=0-1,9000-9001", [(0, 2)]),
        ("bytes=0-1,-0", [(0, 2)]),
        ("bytes=0-9,5-14", [(0, 10), (5, 15)]),
        ("bytes=0-1,-1", [(0, 2), (2047, 2048)]),
    ],
)
def test_range_satisfiable_gives_its_parts(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_range(header, SIZE) == [ByteRange(start, end) for start, end in expected]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "items=0-5",
        "0-5",
        "bytes 0-5",
        "bytes=" + ",".join(f"{start}-{start}" for start in range(MAX_RANGES + 1)),
        "bytes=0-2047,0-0",
        "bytes=0-,0-",
    ],
)
def test_range_not_worth_splitting_gives_the_whole(header: str) -> None:
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize(
    "header",
    [
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--",
        "bytes=-0",
        "bytes=500-0",
        "bytes=5000-10000",
        "bytes=2048-",
        "bytes=5",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-b",
        "bytes=0x0-0x5",
        "bytes=+0-5",
        "bytes=0--5",
        "bytes=-5-",
        "bytes=0-5-9",
        "bytes=0 -5",
        "bytes=0- 5",
        "bytes=0.0-5.0",
        "bytes==0-5",
        "bytes=\u0661-\u0662",
        "bytes=0-5,a",
        "bytes=0-5;6-7",
        "bytes=0-" + "9" * 19,
        "bytes=" + "9" * 5000 + "-",
        "bytes=9000-,9001-",
    ],
)
def test_range_unsatisfiable_is_refused(header: str) -> None:
    with pytest.raises(RangeUnsatisfiableError) as caught:
        parse_range(header, SIZE)
    assert caught.value.code is OciErrorCode.RANGE_INVALID
    assert caught.value.size_bytes == SIZE


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_range_of_nothing_is_unsatisfiable(header: str) -> None:
    with pytest.raises(RangeUnsatisfiableError):
        parse_range(header, 0)


@given(st.integers(1, 10_000), st.data())
def test_range_gives_the_bytes_asked_for(size: int, data: st.DataObject) -> None:
    body = bytes(position % 251 for position in range(size))
    start = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(start, 2 * size))
    found = parse_range(f"bytes={start}-{last}", size)
    assert found is not None
    [part] = found
    assert body[part.start : part.end] == body[start : last + 1]
    assert part.size_bytes == len(body[start : last + 1])
    assert part.content_range(size) == f"bytes {start}-{min(last, size - 1)}/{size}"


@given(st.text(alphabet="0123456789-,= bytes\t;x", max_size=60), st.integers(0, 5000))
def test_range_parser_stays_inside_the_body(specs: str, size: int) -> None:
    try:
        found = parse_range(f"bytes={specs}", size)
    except RangeUnsatisfiableError:
        return
    if found is None:
        return
    assert all(0 <= part.start < part.end <= size for part in found)
    assert 1 <= len(found) <= MAX_RANGES
    assert len(found) == 1 or sum(part.size_bytes for part in found) <= size


@given(st.text(max_size=60))
def test_range_parser_knows_only_its_error(header: str) -> None:
    try:
        parse_range(header, SIZE)
    except RangeUnsatisfiableError as error:
        assert error.size_bytes == SIZE  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-0", (0, 1)),
        ("0-99", (0, 100)),
        ("100-199", (100, 200)),
        ("bytes 0-9/*", (0, 10)),
        ("bytes 0-9/10", (0, 10)),
        ("bytes=0-9", (0, 10)),
        (" 0-9 ", (0, 10)),
    ],
)
def test_content_range_gives_the_part(header: str, expected: tuple[int, int]) -> None:
    assert parse_content_range(header) == ByteRange(*expected)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-",
        "0-",
        "-9",
        "9-0",
        "a-b",
        "0-9-",
        "0 - 9",
        "0-9,10-19",
        "bytes */10",
        "items 0-9/*",
        "0-9/x",
        "-1-9",
        "0--9",
        "\u0660-\u0669",
        "0-" + "9" * 19,
    ],
)
def test_content_range_malformed_is_none(header: str) -> None:

    assert parse_content_range(header) is None


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_content_range_reads_back(start: int, length: int) -> None:
    part = parse_content_range(f"{start}-{start + length}")
    assert part == ByteRange(start, start + length + 1)


@given(st.text(max_size=60))
def test_content_range_parser_never_raises(header: str) -> None:
    part = parse_content_range(header)
    assert part is None or 0 <= part.start < part.end


@pytest.mark.parametrize(("size", "expected"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1000, "0-999")])
def test_upload_range_names_the_last_byte(size: int, expected: str) -> None:
    assert upload_range(size) == expected
