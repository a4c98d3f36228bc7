"""Checks the chains of audit records against themselves and against the signed checkpoints."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from homeport.auth.audit_key import AuditKey
from homeport.db.audit_chain import (
    Checkpoint,
    Purpose,
    find_unchained,
    read_checkpoints,
    read_heads,
    read_links,
)
from homeport.db.engine import Database
from homeport.rules.audit_chain import STREAMS, ChainPoint, ChainVerifier, Fault, Finding

_PART = 2000
_MAX_UNCHAINED = 100


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What was checked of one stream."""

    stream: int
    records: int
    first_sequence: int
    last_sequence: int
    signed_up_to: int


class AuditVerification:
    """One run over all streams or one. `witnesses` are checkpoints that were kept outside the database."""

    def __init__(self, database: Database, key: AuditKey, witnesses: Iterable[Checkpoint] = ()) -> None:
        self._database = database
        self._key = key
        self._witnesses = tuple(witnesses)
        self.summaries: list[StreamSummary] = []

    async def run(self, only: int | None = None) -> AsyncIterator[Finding]:
        """Yield every fault; records that are written meanwhile are left for the next run."""
        heads = await self._database.read(read_heads)
        stored = await self._database.read(read_checkpoints)
        points, findings = self._trusted([*stored, *self._witnesses])
        for finding in findings:
            if only is None or finding.stream == only:
                yield finding
        if only is None:
            for record_id in await self._database.read(find_unchained, _MAX_UNCHAINED):
                yield Finding(Fault.INSERTED, None, None, record_id, "the record belongs to no stream")
        for stream in STREAMS:
            if only is None or stream == only:
                async for finding in self._check_stream(stream, heads.get(stream), points.get(stream, [])):
                    yield finding

    def _trusted(self, given: list[Checkpoint]) -> tuple[dict[int, list[Checkpoint]], list[Finding]]:
        """Return the checkpoints with good signatures by stream, and a finding for each of the others."""
        good: dict[int, list[Checkpoint]] = {}
        findings = []
        for checkpoint in given:
            point = checkpoint.point
            if self._key.verifies(checkpoint.kid, checkpoint.signature, checkpoint.message):
                good.setdefault(point.stream, []).append(checkpoint)
                continue
            reason = (
                "the signature is wrong"
                if checkpoint.kid == self._key.kid
                else f"it is signed by the key {checkpoint.kid[:16]}, not by {self._key.kid[:16]}"
            )
            text = f"a {checkpoint.purpose} mark cannot be believed: {reason}"
            findings.append(Finding(Fault.FORGED, point.stream, point.sequence, None, text))
        return good, findings

    async def _check_stream(
        self, stream: int, head: ChainPoint | None, points: list[Checkpoint]
    ) -> AsyncIterator[Finding]:
        start = _last_purged(points)
        first = start.sequence if start else 0
        # an older checkpoint of what has been purged says nothing any more
        checkpoints = {each.point.sequence: each.point.hash for each in points if each.point.sequence > first}
        verifier = ChainVerifier(stream, start, checkpoints)
        end = head.sequence if head else 0
        async for finding in self._check_start(stream, first):
            yield finding
        while links := await self._database.read(read_links, stream, verifier.sequence, _PART):
            if links[0].sequence != verifier.sequence + 1:
                purged = await self._purged_meanwhile(stream, verifier.sequence)
                if purged is not None:
                    verifier.go_on_from(purged)
                    continue
            known = [link for link in links if link.sequence <= end]
            is_growing = len(known) < len(links) and await self._is_written(stream, links[-1].sequence)
            for link in known if is_growing else links:
                for finding in verifier.check(link):
                    yield finding
            if is_growing:
                break
        for finding in verifier.finish(head):
            yield finding
        if verifier.count or head is not None:
            signed = max(checkpoints, default=0)
            self.summaries.append(StreamSummary(stream, verifier.count, first + 1, verifier.sequence, signed))

    async def _check_start(self, stream: int, purged: int) -> AsyncIterator[Finding]:
        """Yield a finding when there are records that the purge had deleted."""
        for link in await self._database.read(read_links, stream, 0, 1):
            if link.sequence <= purged:
                text = f"the records up to {purged} were purged"
                yield Finding(Fault.INSERTED, stream, link.sequence, link.record_id, text)

    async def _is_written(self, stream: int, sequence: int) -> bool:
        """Tell whether the stream's head has reached the record since the run began."""
        head = (await self._database.read(read_heads)).get(stream)
        return head is not None and head.sequence >= sequence

    async def _purged_meanwhile(self, stream: int, sequence: int) -> ChainPoint | None:
        found, _ = self._trusted(await self._database.read(read_checkpoints))
        point = _last_purged(found.get(stream, []))
        return point if point is not None and point.sequence > sequence else None


def _last_purged(points: list[Checkpoint]) -> ChainPoint | None:
    purged = [each.point for each in points if each.purpose is Purpose.PURGED]
    return max(purged, key=lambda point: point.sequence, default=None)
