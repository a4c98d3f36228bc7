"""Signs where the streams of audit records stand, so that a cut end or a new history shows."""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection

from homeport.auth.audit_key import AuditKey
from homeport.db.audit_chain import (
    Checkpoint,
    Purpose,
    add_checkpoints,
    forget_checkpoints,
    newest_checkpoints,
    read_checkpoints,
    read_heads,
)
from homeport.db.engine import Database
from homeport.rules.audit_chain import ChainPoint

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WITNESS_FILE = "audit-checkpoints.jsonl"
_KEPT_FOR = timedelta(days=1)


def sign_point(key: AuditKey, point: ChainPoint, purpose: Purpose) -> Checkpoint:
    """Return the point signed now."""
    draft = Checkpoint(point, purpose, key.kid, "", datetime.now(UTC))
    return Checkpoint(point, purpose, key.kid, key.sign(draft.message), draft.created_at)


class Checkpoints:
    """Signs the heads that have moved; the newest of each stream also go into a file outside the database."""

    def __init__(self, database: Database, key: AuditKey, directory: Path) -> None:
        self._database = database
        self._key = key
        self._directory = directory

    async def sign(self) -> int:
        """Sign each stream that has grown since its newest checkpoint; returns how many."""
        heads, newest = await self._database.read(_read_state)
        moved = [
            head
            for stream, head in heads.items()
            if head.sequence and (stream not in newest or newest[stream][0] < head.sequence)
        ]
        if not moved:
            return 0
        signed = [sign_point(self._key, head, Purpose.CHECKPOINT) for head in moved]
        await self._database.write(_store, signed)
        write_witnesses(self._directory, await self._database.read(read_checkpoints))
        return len(signed)


def _read_state(
    connection: Connection,
) -> tuple[dict[int, ChainPoint], dict[int, tuple[int, datetime]]]:
    return read_heads(connection), newest_checkpoints(connection)


def _store(connection: Connection, signed: list[Checkpoint]) -> None:
    add_checkpoints(connection, signed)
    forget_checkpoints(connection, datetime.now(UTC) - _KEPT_FOR)


def write_witnesses(directory: Path, checkpoints: Iterable[Checkpoint]) -> None:
    """Keep the newest checkpoint of each stream and purpose in the directory's file, whole or not at all."""
    newest = {(each.point.stream, each.purpose): each for each in checkpoints}
    lines = [
        json.dumps(
            {
                "stream": each.point.stream,
                "sequence": each.point.sequence,
                "hash": each.point.hash,
                "purpose": each.purpose,
                "kid": each.kid,
                "signature": each.signature,
                "created_at": each.created_at.isoformat(),
            }
        )
        for each in newest.values()
    ]
    draft = directory / f".{WITNESS_FILE}.{os.getpid()}"
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    draft.replace(directory / WITNESS_FILE)


def read_witnesses(path: Path) -> list[Checkpoint]:
    """Return the checkpoints in the file, none when there is no file; a damaged line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            point = ChainPoint(int(row["stream"]), int(row["sequence"]), str(row["hash"]))
            created_at = datetime.fromisoformat(row["created_at"])
            found.append(
                Checkpoint(point, Purpose(row["purpose"]), str(row["kid"]), str(row["signature"]), created_at)
            )
        except (ValueError, KeyError, TypeError):
            log.warning("audit_witness_damaged", path=str(path))
    return found
