"""What a registry must show: everything acknowledged, and of the rest all or nothing."""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from homeport.db.audit import AuditRecord

_OPERATIONS = {"push", "delete", "mount", "pull"}


class Kind(StrEnum):
    """What a name stands for."""

    TAG = "tag"
    MANIFEST = "manifest"
    BLOB = "blob"


@dataclass(frozen=True, slots=True)
class Key:
    """A name under which something may be seen: a tag, or a digest."""

    kind: Kind
    repository: str
    name: str


class Outcome(Enum):
    """What the client knows of a request: nothing until the answer is there."""

    UNKNOWN = auto()
    DONE = auto()
    REFUSED = auto()


Changes = Mapping[Key, str | None]


@dataclass(slots=True)
class Sent:
    """A request that changes names to digests, or to nothing, and leaves audit records when it is done."""

    operation: str
    changes: Changes
    records: int
    before: dict[Key, set[str | None]]
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    outcome: Outcome = Outcome.UNKNOWN


@dataclass(slots=True)
class Session:
    """An upload that was begun: where, for what, and how much of it the server has acknowledged."""

    repository: str
    location: str
    content: bytes
    algorithm: str = "sha256"
    acknowledged_bytes: int = 0
    is_ending: bool = False


class World:
    """The model of a registry, for clients that do not touch each other's names."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.sent: list[Sent] = []
        self.sessions: dict[str, Session] = {}
        self._possible: dict[Key, set[str | None]] = {}
        self._open: list[Sent] = []

    def possible(self, key: Key) -> set[str | None]:
        """Return the digests, or None for nothing, of which one must be seen under the name."""
        return self._possible.setdefault(key, {None})

    def value(self, key: Key) -> str | None:
        """Return what is seen under the name, when that is known."""
        (value,) = self.possible(key)
        return value

    def all_keys(self) -> list[Key]:
        """Return every name that was ever written to."""
        return list(self._possible)

    def unsettled(self) -> list[Key]:
        """Return the names under which one of several things may be seen."""
        return [key for key, values in self._possible.items() if len(values) > 1]

    def begin(self, operation: str, changes: Changes, records: int) -> Sent:
        """Note a request before it is sent."""
        sent = Sent(operation, changes, records, {key: set(self.possible(key)) for key in changes})
        self.sent.append(sent)
        if changes:
            self._open.append(sent)
        for key, value in changes.items():
            self.possible(key).add(value)
        return sent

    def acknowledge(self, sent: Sent) -> None:
        """Note that the request was answered with success."""
        sent.outcome = Outcome.DONE
        for key, value in sent.changes.items():
            self._possible[key] = {value}

    def refuse(self, sent: Sent) -> None:
        """Note that the request was answered with an error that says that nothing was changed."""
        sent.outcome = Outcome.REFUSED
        for key in sent.changes:
            self._possible[key] = sent.before[key]

    def settle(self, seen: Mapping[Key, str | None]) -> None:
        """Compare with what is seen, which from now on must stay; unanswered requests were done or not."""
        for key, value in seen.items():
            possible = self.possible(key)
            assert value in possible, f"{key} shows {value}, not one of {possible}"
            self._possible[key] = {value}
        for sent in self._open:
            if sent.outcome is Outcome.UNKNOWN and all(key in seen for key in sent.changes):
                self._settle(sent, seen)
        self._open = [sent for sent in self._open if sent.outcome is Outcome.UNKNOWN]

    def _settle(self, sent: Sent, seen: Mapping[Key, str | None]) -> None:
        telling = {key: value for key, value in sent.changes.items() if value not in sent.before[key]}
        done = {seen[key] == value for key, value in telling.items()}
        assert len(done) <= 1, f"half of {sent} is visible: { {key: seen[key] for key in telling} }"
        if done == {True}:
            sent.outcome = Outcome.DONE
        elif done == {False}:
            sent.outcome = Outcome.REFUSED

    def check_audit(self, records: Iterable[AuditRecord]) -> None:
        """Compare the audit records of changes and pulls with the requests: none lost, none twice.

        A record that says it is damaged is what a pull left that was cut off before its answer.
        """
        found = Counter(
            (record.request_id, record.operation)
            for record in records
            if record.operation in _OPERATIONS and record.outcome != "damaged"
        )
        problems = []
        for sent in self.sent:
            count = found.pop((sent.request_id, sent.operation), 0)
            allowed = {
                Outcome.DONE: {sent.records},
                Outcome.REFUSED: {0},
                Outcome.UNKNOWN: {0, sent.records},
            }[sent.outcome]
            if count not in allowed:
                problems.append(f"{count} audit records instead of {allowed} of {sent}")
        assert not problems, "\n".join(problems[:10])
        assert not found, f"audit records of requests that nobody sent: {found}"
