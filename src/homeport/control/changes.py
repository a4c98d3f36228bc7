"""Audit records of what the control plane changes, with what was before and what is after."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records


@dataclass(frozen=True, slots=True)
class Change:
    """What changed, by the name of Harbor's event; None is what did not exist before or does not after."""

    operation: str
    target: Target
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


def record_change(connection: Connection, actor: Actor, change: Change) -> None:
    """Write the record of a change in the transaction that makes it."""
    record = actor.record(change.operation, change.target, before=change.before, after=change.after)
    add_records(connection, [record])
