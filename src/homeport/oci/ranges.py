"""Byte ranges: `Range` of downloads (RFC 9110, 14.2) and `Content-Range` of uploads (distribution-spec)."""

import re
from dataclasses import dataclass

from homeport.oci.errors import OciError, OciErrorCode

MAX_RANGES = 64

_UPLOAD_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?")
_SPEC = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` up to and without `end`, counted from 0."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many bytes the range has."""
        return self.end - self.start

    def content_range(self, size_bytes: int) -> str:
        """Return the Content-Range value of this part of a body of the given size."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


class RangeUnsatisfiableError(OciError):
    """No requested range overlaps the content, or the ranges are malformed."""

    def __init__(self, header: str, size_bytes: int) -> None:
        super().__init__(OciErrorCode.RANGE_INVALID, detail=header[:256])
        self.size_bytes = size_bytes


def parse_range(header: str, size_bytes: int) -> list[ByteRange] | None:
    """Return the satisfiable ranges in the order asked for, or None when the whole body is the answer.

    The whole body is the answer for units other than bytes, for more than MAX_RANGES ranges, and when
    several ranges add up to more than the body (RFC 9110, 14.2: a server may ignore such a header).
    Raises RangeUnsatisfiableError when no range is satisfiable or one is malformed.
    """
    unit, equals, specs = header.strip().partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    parts = [part.strip() for part in specs.split(",") if part.strip()]
    if len(parts) > MAX_RANGES:
        return None
    ranges = []
    for part in parts:
        found = _satisfy(part, header, size_bytes)
        if found is not None:
            ranges.append(found)
    if not ranges:
        raise RangeUnsatisfiableError(header, size_bytes)
    if len(ranges) > 1 and sum(found.size_bytes for found in ranges) > size_bytes:
        return None
    return ranges


def _satisfy(part: str, header: str, size_bytes: int) -> ByteRange | None:
    match = _SPEC.fullmatch(part)
    if match is None or part == "-":
        raise RangeUnsatisfiableError(header, size_bytes)
    first, last = match[1], match[2]
    if not first:
        suffix = min(int(last), size_bytes)
        return ByteRange(size_bytes - suffix, size_bytes) if suffix else None
    start = int(first)
    if last and int(last) < start:
        raise RangeUnsatisfiableError(header, size_bytes)
    if start >= size_bytes:
        return None
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return ByteRange(start, end)


def parse_content_range(header: str) -> ByteRange | None:
    """Return the part that an upload chunk claims to be, or None when the header is malformed.

    The specification's form is `<start>-<end>`, both inclusive; `bytes a-b/*` is tolerated.
    """
    match = _UPLOAD_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    start, last = int(match[1]), int(match[2])
    if last < start:
        return None
    return ByteRange(start, last + 1)


def upload_range(size_bytes: int) -> str:
    """Return the Range value of an upload of this size: `0-<last>`, and `0-0` while it is empty."""
    return f"0-{max(size_bytes - 1, 0)}"
