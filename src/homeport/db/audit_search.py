"""Finding audit records among millions: filters, the index that leads, and scans in bounded steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from homeport.db.audit import FIELDS, AuditFilter, AuditRecord
from homeport.db.schema import EPOCH, audit_record, project
from homeport.rules.permissions import ProjectFacts

COUNT_LIMIT = 10_000
# the columns with an index that also orders by time
_LEADING = ("repository", "principal", "project", "operation")
_ESTIMATE_LIMIT = 20_000
_MAX_OPERATIONS = 1000
_PLUS: custom_op[Any] = custom_op("+")
_ALL = (audit_record.c.id, *(audit_record.c[name] for name in FIELDS))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a scan stands: the time and id of the record that it saw last."""

    recorded_at: datetime
    record_id: int


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a scan: how many records to look at, behind which one, backwards or forwards in time."""

    limit: int
    after: Position | None = None
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One walk along an index: the column that leads and its value, or all records by time."""

    column: str | None
    value: str | None


Row = tuple[int, AuditRecord]


def choose_lanes(connection: Connection, wanted: AuditFilter) -> list[Lane]:
    """Return the walks that together meet every record wanted, over the index with the fewest others."""
    best: tuple[int, list[Lane]] | None = None
    allowed = wanted.values()
    if any(not values for values in allowed.values()):
        return []
    for name in _LEADING:
        if name not in allowed:
            continue
        lanes = [Lane(name, value) for value in dict.fromkeys(allowed[name])]
        limit = max(_ESTIMATE_LIMIT // len(lanes), 1)
        cost = sum(count_lane(connection, wanted, lane, limit) for lane in lanes)
        if best is None or cost < best[0]:
            best = cost, lanes
        if best[0] < _ESTIMATE_LIMIT // 100:
            break
    return best[1] if best else [Lane(None, None)]


def is_covered(wanted: AuditFilter, lane: Lane) -> bool:
    """Tell whether every record on the lane is wanted, so that nothing is left to check."""
    return not wanted.containing and all(name == lane.column for name in wanted.values())


def count_lane(connection: Connection, wanted: AuditFilter, lane: Lane, limit: int) -> int:
    """Return how many records the lane has, at most the limit."""
    marks = select(literal_column("1", Integer)).select_from(audit_record).where(_on_lane(wanted, lane))
    within = marks.limit(limit).subquery()
    return connection.execute(select(func.count()).select_from(within)).scalar_one()


def read_lane(
    connection: Connection, wanted: AuditFilter, lane: Lane, *, limit: int, offset: int = 0
) -> list[Row]:
    """Return the newest records of a lane, without checking the other conditions."""
    statement = _newest_first(select(*_ALL).where(_on_lane(wanted, lane))).limit(limit).offset(offset)
    return [_row(row) for row in connection.execute(statement)]


def scan_lane(
    connection: Connection,
    wanted: AuditFilter,
    lane: Lane,
    step: Step,
) -> tuple[list[Row], Position | None]:
    """Return the wanted ones of the next records of a lane, and where to go on.

    The position is None when the lane has ended.
    """
    on_lane = _on_lane(wanted, lane)
    if step.after is not None:
        on_lane = and_(on_lane, _beyond(step.after, forwards=step.forwards))
    order = _oldest_first if step.forwards else _newest_first
    last = order(select(audit_record.c.recorded_at, audit_record.c.id).where(on_lane))
    end = connection.execute(last.limit(1).offset(step.limit - 1)).first()
    statement = select(*_ALL).where(on_lane, *_others(connection, wanted, lane))
    if end is not None:
        statement = statement.where(_up_to(Position(end[0], end[1]), forwards=step.forwards))
    rows = [_row(row) for row in connection.execute(order(statement))]
    return rows, Position(end[0], end[1]) if end is not None else None


def find_started_projects(
    connection: Connection, project_ids: Iterable[int] | None
) -> list[tuple[ProjectFacts, datetime]]:
    """Return the projects with those ids, or all, and when each was made."""
    columns = project.c
    statement = select(columns.id, columns.name, columns.is_public, columns.created_at)
    if project_ids is not None:
        statement = statement.where(columns.id.in_(tuple(project_ids)))
    return [(ProjectFacts(*row[:3]), row[3]) for row in connection.execute(statement)]


def find_started_project(connection: Connection, name: str) -> tuple[ProjectFacts, datetime] | None:
    """Return the project of that name and when it was made, or None."""
    columns = project.c
    statement = select(columns.id, columns.name, columns.is_public, columns.created_at)
    row = connection.execute(statement.where(columns.name == name)).first()
    return None if row is None else (ProjectFacts(*row[:3]), row[3])


def list_operations(connection: Connection) -> list[str]:
    """Return every operation that there are records of; jumps from one to the next along the index."""
    found: list[str] = []
    column = audit_record.c.operation
    following = select(func.min(column)).where(column > bindparam("last"))
    while len(found) < _MAX_OPERATIONS:
        operation: str | None = connection.execute(following, {"last": found[-1] if found else ""}).scalar()
        if operation is None:
            break
        found.append(operation)
    return found


def list_records(connection: Connection, wanted: AuditFilter, *, limit: int) -> list[Row]:
    """Return up to `limit` records with their ids, the newest first; looks at as many as that takes."""
    found: list[Row] = []
    for lane in choose_lanes(connection, wanted):
        if is_covered(wanted, lane):
            found += read_lane(connection, wanted, lane, limit=limit)
            continue
        rows: list[Row] = []
        position: Position | None = None
        while len(rows) < limit:
            more, position = scan_lane(connection, wanted, lane, Step(50_000, position))
            rows += more
            if position is None:
                break
        found += rows[:limit]
    return sorted(found, key=newest_first)[:limit]


def newest_first(row: Row) -> tuple[timedelta, int]:
    """Return what rows are sorted by, the newest first."""
    return EPOCH - row[1].recorded_at, -row[0]


def oldest_first(row: Row) -> tuple[timedelta, int]:
    """Return what rows are sorted by, the oldest first."""
    return row[1].recorded_at - EPOCH, row[0]


def _row(row: Any) -> Row:
    return row[0], AuditRecord(*row[1:])


# The first condition of each is for the index: not every database finds its way along pairs.


def _beyond(position: Position, *, forwards: bool) -> ColumnElement[bool]:
    time, pair, mark = audit_record.c.recorded_at, _pair(), _mark(position)
    if forwards:
        return and_(time >= position.recorded_at, pair > mark)
    return and_(time <= position.recorded_at, pair < mark)


def _up_to(position: Position, *, forwards: bool) -> ColumnElement[bool]:
    time, pair, mark = audit_record.c.recorded_at, _pair(), _mark(position)
    if forwards:
        return and_(time <= position.recorded_at, pair <= mark)
    return and_(time >= position.recorded_at, pair >= mark)


def _pair() -> ColumnElement[Any]:
    return tuple_(audit_record.c.recorded_at, audit_record.c.id)


def _mark(position: Position) -> ColumnElement[Any]:
    time = literal(position.recorded_at, audit_record.c.recorded_at.type)
    return tuple_(time, literal(position.record_id, audit_record.c.id.type))


def _newest_first(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(audit_record.c.recorded_at.desc(), audit_record.c.id.desc())


def _oldest_first(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(audit_record.c.recorded_at.asc(), audit_record.c.id.asc())


def _on_lane(wanted: AuditFilter, lane: Lane) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if lane.column is not None:
        conditions.append(audit_record.c[lane.column] == lane.value)
    start = wanted.project_starts.get(lane.value or "") if lane.column == "project" else None
    if start is not None:
        conditions.append(audit_record.c.recorded_at >= start)
    if wanted.since is not None:
        conditions.append(audit_record.c.recorded_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(audit_record.c.recorded_at < wanted.until)
    return and_(true(), *conditions)


def _others(connection: Connection, wanted: AuditFilter, lane: Lane) -> list[ColumnElement[bool]]:
    """Return the conditions that the lane does not answer, in a form that chooses no other index."""
    is_sqlite = connection.dialect.name == "sqlite"

    def column(name: str) -> ColumnElement[Any]:
        plain = audit_record.c[name]
        return UnaryExpression(plain, operator=_PLUS, type_=plain.type) if is_sqlite else plain

    conditions: list[ColumnElement[bool]] = [
        column(name).in_(values) for name, values in wanted.values().items() if name != lane.column
    ]
    if wanted.project_starts and lane.column != "project":
        started = [
            (column("project") == name) & (audit_record.c.recorded_at >= start)
            for name, start in wanted.project_starts.items()
        ]
        conditions.append(or_(false(), *started))
    for name, text in wanted.containing.items():
        conditions.append(audit_record.c[name].icontains(text, autoescape=True))
    return conditions
