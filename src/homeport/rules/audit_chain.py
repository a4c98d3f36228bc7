"""The chain of audit records: which stream a record belongs to, what its hash covers, what breaks a chain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from zlib import crc32

import orjson

GENESIS = "0" * 64

PULL_STREAM = 0
_FIRST_ACCESS_STREAM, _ACCESS_STREAMS = 1, 8
_FIRST_CHANGE_STREAM, _CHANGE_STREAMS = 16, 16
SYSTEM_STREAM = _FIRST_CHANGE_STREAM + _CHANGE_STREAMS
STREAMS = (
    PULL_STREAM,
    *range(_FIRST_ACCESS_STREAM, _FIRST_ACCESS_STREAM + _ACCESS_STREAMS),
    *range(_FIRST_CHANGE_STREAM, SYSTEM_STREAM + 1),
)

_ACCESS_OPERATIONS = frozenset({"login", "logout", "login_user", "logout_user", "denial"})

Value = str | int | None


class RecordKind(StrEnum):
    """What records are kept for equally long; no stream holds records of two kinds."""

    PULL = "pull"
    ACCESS = "access"
    CHANGE = "change"


def stream_of(operation: str, project: str | None, principal: str) -> int:
    """Return the stream of a record.

    Records of one stream are written one transaction after the other, so changes are spread by project,
    sign-ins and denials by project or account. The records of a part of a pull journal stay together.
    """
    if operation == "pull":
        return PULL_STREAM
    if operation in _ACCESS_OPERATIONS:
        return _FIRST_ACCESS_STREAM + crc32((project or principal).encode()) % _ACCESS_STREAMS
    if project is None:
        return SYSTEM_STREAM
    return _FIRST_CHANGE_STREAM + crc32(project.encode()) % _CHANGE_STREAMS


def kind_of_stream(stream: int) -> RecordKind:
    """Return what kind of records the stream holds."""
    if stream == PULL_STREAM:
        return RecordKind.PULL
    return RecordKind.ACCESS if stream < _FIRST_CHANGE_STREAM else RecordKind.CHANGE


def link_hash(previous: str, stream: int, sequence: int, values: Sequence[Value]) -> str:
    """Return the hash of a record: SHA-256 over a JSON array without spaces.

    The array holds the hash before, the stream, the sequence and the record's fields in the order of the
    columns, the time as microseconds since 1970.
    """
    return sha256(orjson.dumps((previous, stream, sequence, *values))).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainPoint:
    """A place in a stream: the hash of the record with that sequence."""

    stream: int
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Link:
    """A record as the table has it."""

    record_id: int
    sequence: int
    hash: str
    values: tuple[Value, ...]


class Fault(StrEnum):
    """What is wrong with a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"
    REWRITTEN = "rewritten"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault and where it is; `record_id` is None where there is no record."""

    fault: Fault
    stream: int | None
    sequence: int | None
    record_id: int | None
    explanation: str


class ChainVerifier:
    """Follows one stream from its first record, or from the last purged one, to its end.

    `checkpoints` are hashes by sequence that are known to be true. After a fault it goes on from what is
    stored, so that one changed record is one finding.
    """

    def __init__(self, stream: int, start: ChainPoint | None, checkpoints: Mapping[int, str]) -> None:
        self._stream = stream
        self._checkpoints = checkpoints
        self._previous: str | None = start.hash if start else GENESIS
        self._last_id = 0
        self.sequence = start.sequence if start else 0
        self.count = 0

    def check(self, link: Link) -> Iterator[Finding]:
        """Yield what is wrong with the next record, in the order of the sequences."""
        self.count += 1
        expected = self.sequence + 1
        if link.sequence != expected:
            yield self._missing(expected, link.sequence - 1)
            self._previous = None
        if link.record_id <= self._last_id:
            yield self._finding(
                Fault.REORDERED, link, f"it was written before record {self._last_id}, which precedes it"
            )
        if self._previous is not None:
            actual = link_hash(self._previous, self._stream, link.sequence, link.values)
            if actual != link.hash:
                yield self._finding(
                    Fault.CHANGED, link, "its hash does not fit its content and the record before it"
                )
        signed = self._checkpoints.get(link.sequence)
        if signed is not None and signed != link.hash:
            yield self._finding(
                Fault.REWRITTEN, link, "a signed checkpoint names another hash: it or a record before changed"
            )
        self.sequence, self._previous, self._last_id = link.sequence, link.hash, link.record_id

    def go_on_from(self, point: ChainPoint) -> None:
        """Go on behind a record that was purged meanwhile."""
        self.sequence, self._previous = point.sequence, point.hash

    def finish(self, head: ChainPoint | None) -> Iterator[Finding]:
        """Yield what the head of the stream and the checkpoints say about its end."""
        end = head.sequence if head else 0
        known = max((end, *self._checkpoints))
        if known > self.sequence:
            yield self._missing(self.sequence + 1, known)
        elif end < self.sequence:
            text = f"records {end + 1} to {self.sequence} stand behind the end of the stream"
            yield Finding(Fault.INSERTED, self._stream, end + 1, None, text)
        elif head is not None and self._previous is not None and head.hash != self._previous:
            text = "the hash of the last record is not the stream's"
            yield Finding(Fault.CHANGED, self._stream, self.sequence, None, text)

    def _missing(self, first: int, last: int) -> Finding:
        text = f"record {first} is missing" if first == last else f"records {first} to {last} are missing"
        return Finding(Fault.MISSING, self._stream, first, None, text)

    def _finding(self, fault: Fault, link: Link, explanation: str) -> Finding:
        return Finding(fault, self._stream, link.sequence, link.record_id, explanation)


def checkpoint_message(point: ChainPoint, purpose: str, created_at_us: int) -> bytes:
    """Return the bytes that the signature of a checkpoint covers."""
    return orjson.dumps(
        ("homeport audit 1", purpose, point.stream, point.sequence, point.hash, created_at_us)
    )
