"""Reading the audit records: pages for people, exports for archives."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeport.control.audit_formats import CSV_HEADER, as_csv_line, as_json_line, csv_line
from homeport.control.errors import BadRequestError
from homeport.db.audit import AuditFilter
from homeport.db.audit_search import (
    COUNT_LIMIT,
    Lane,
    Position,
    Row,
    Step,
    choose_lanes,
    count_lane,
    find_started_projects,
    is_covered,
    list_operations,
    newest_first,
    oldest_first,
    read_lane,
    scan_lane,
)
from homeport.db.engine import Database
from homeport.db.filtering import parse_moment
from homeport.rules.audit_events import operations_of
from homeport.rules.listing import Condition, ListQuery, Match, QueryInvalidError
from homeport.rules.permissions import Principal, may_in_project

FORMATS = ("jsonl", "csv")

_FIRST_STEP = 1000
_LONGEST_STEP = 5000
_MAX_SEARCH_S = 10.0
_MAX_OFFSET = 10_000
_MAX_SIMPLE_OFFSET = 100_000
_EXPORT_STEP = 1000

_COLUMNS = {
    "username": "principal",
    "principal": "principal",
    "resource": "repository",
    "repository": "repository",
    "project": "project",
    "outcome": "outcome",
    "digest": "digest",
    "client_address": "client_address",
    "request_id": "request_id",
}
_EVENT_KEYS = {"operation", "resource_type", "event_type"}
_TIME_KEYS = {"op_time", "recorded_at"}
_RESULT_KEY = "operation_result"


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records of one page, the newest first.

    `total` is exact as long as it is below the bound on counting; beyond that it is at least the bound, and
    always more than what this page and those before it show while there is more to come.
    """

    rows: list[Row]
    total: int


class AuditLog:
    """Searches the records in steps that are short enough to run beside a server's other work."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock

    async def visible_projects(self, principal: Principal) -> dict[str, datetime]:
        """Return the projects whose records the principal may list, with the time that each was made."""
        rights = principal.rights
        ids = None if principal.is_sysadmin or rights.every_project else tuple(rights.projects)
        found = await self._database.read(find_started_projects, ids)
        return {
            facts.name: created_at
            for facts, created_at in found
            if may_in_project(principal, facts, "log:list")
        }

    async def parse(self, query: ListQuery) -> AuditFilter:
        """Return the filter of a list query in Harbor's words or Homeport's. Raises QueryInvalidError."""
        known = None
        if any(condition.key in _EVENT_KEYS for condition in query.conditions):
            known = await self._database.read(list_operations)
        for order in query.orders:
            if order.key not in {"op_time", "recorded_at", "id"}:
                raise QueryInvalidError(
                    f"the list cannot be sorted by {order.key!r}", hint="use op_time or -op_time"
                )
        return parse_filter(query, known or [])

    async def page(self, wanted: AuditFilter, query: ListQuery) -> AuditPage:
        """Return the query's page of the wanted records.

        Raises BadRequestError for a page too far behind, and when the search takes too long.
        """
        lanes = await self._database.read(choose_lanes, wanted)
        forwards = any(not order.is_descending for order in query.orders[:1])
        is_simple = len(lanes) == 1 and is_covered(wanted, lanes[0]) and not forwards
        if query.offset > (_MAX_SIMPLE_OFFSET if is_simple else _MAX_OFFSET):
            raise BadRequestError(
                "the page is too far from the first one",
                hint="narrow the query with op_time, or use the export",
            )
        if is_simple:
            return await self._simple_page(wanted, lanes[0], query)
        needed = query.offset + query.page_size + 1
        end = self._clock() + _MAX_SEARCH_S
        found = [await self._search(wanted, lane, Step(needed, None, forwards), end) for lane in lanes]
        ordered = oldest_first if forwards else newest_first
        merged = list(heapq.merge(*found, key=ordered))
        page = merged[query.offset : query.offset + query.page_size]
        total = 0
        for lane in lanes:
            if is_covered(wanted, lane):
                limit = max(COUNT_LIMIT // len(lanes), 1)
                total += await self._database.read(count_lane, wanted, lane, limit)
        return AuditPage(page, max(total, len(merged)))

    async def _simple_page(self, wanted: AuditFilter, lane: Lane, query: ListQuery) -> AuditPage:
        size, offset = query.page_size, query.offset
        rows = await self._database.read(read_lane, wanted, lane, limit=size + 1, offset=offset)
        counted = await self._database.read(count_lane, wanted, lane, COUNT_LIMIT)
        return AuditPage(rows[:size], max(counted, offset + len(rows) if rows else 0))

    async def _search(self, wanted: AuditFilter, lane: Lane, goal: Step, end: float) -> list[Row]:
        """Return at least as many of the lane's wanted records as the goal says, if there are so many."""
        rows: list[Row] = []
        position: Position | None = None
        size = min(goal.limit, _LONGEST_STEP) if is_covered(wanted, lane) else _FIRST_STEP
        while len(rows) < goal.limit:
            if self._clock() > end:
                raise BadRequestError(
                    "the search takes too long",
                    hint="narrow the query with op_time, username, repository or operation",
                )
            step = Step(size, position, goal.forwards)
            part, position = await self._database.read(scan_lane, wanted, lane, step)
            rows += part
            if position is None:
                break
            size = min(size * 2, _LONGEST_STEP)
            await asyncio.sleep(0)
        return rows

    async def export(self, wanted: AuditFilter, format_name: str) -> AsyncIterator[str]:
        """Yield the wanted records in parts of JSON Lines or CSV, the oldest first, in bounded memory.

        A record that is written while the export runs may be left out.
        """
        if format_name not in FORMATS:
            raise BadRequestError(f"there is no format {format_name!r}", hint=f"use {' or '.join(FORMATS)}")
        as_line = as_csv_line if format_name == "csv" else as_json_line
        if format_name == "csv":
            yield csv_line(CSV_HEADER)
        lane = await self._export_lane(wanted)
        position: Position | None = None
        while lane is not None:
            step = Step(_EXPORT_STEP, position, forwards=True)
            rows, position = await self._database.read(scan_lane, wanted, lane, step)
            if rows:
                yield "".join(as_line(record_id, record) for record_id, record in rows)
            if position is None:
                break

    async def _export_lane(self, wanted: AuditFilter) -> Lane | None:
        lanes = await self._database.read(choose_lanes, wanted)
        if not lanes:
            return None
        return lanes[0] if len(lanes) == 1 else Lane(None, None)


def within_projects(wanted: AuditFilter, projects: Mapping[str, datetime]) -> AuditFilter:
    """Return the filter restricted to the projects, each since it was made."""
    asked = wanted.values().get("project")
    kept = {name: start for name, start in projects.items() if asked is None or name in asked}
    any_of = {**wanted.any_of, "project": tuple(kept)}
    return replace(wanted, project=None, any_of=any_of, project_starts=kept)


def parse_filter(query: ListQuery, known_operations: list[str]) -> AuditFilter:
    """Return the filter of a query's conditions. Raises QueryInvalidError."""
    any_of: dict[str, tuple[str, ...]] = {}
    containing: dict[str, str] = {}
    since = until = None
    events: dict[str, tuple[str, ...]] = {}
    for condition in query.conditions:
        key = condition.key
        if key in _TIME_KEYS:
            since, until = _range(condition)
        elif key in _EVENT_KEYS:
            events["operation" if key == "event_type" else key] = _values(condition)
        elif key == _RESULT_KEY:
            is_success = _values(condition)[0].lower() in {"true", "1"}
            any_of["outcome"] = ("success",) if is_success else ("failure", "denied", "damaged")
        elif key not in _COLUMNS:
            names = sorted({*_COLUMNS, *_EVENT_KEYS, *_TIME_KEYS, _RESULT_KEY})
            raise QueryInvalidError(f"the list cannot be filtered by {key!r}", hint=f"use {', '.join(names)}")
        elif condition.match is Match.FUZZY:
            containing[_COLUMNS[key]] = condition.values[0]
        else:
            any_of[_COLUMNS[key]] = _values(condition)
    if events:
        any_of["operation"] = operations_of(
            known_operations, events.get("operation"), events.get("resource_type")
        )
    return AuditFilter(since=since, until=until, any_of=any_of, containing=containing)


def _values(condition: Condition) -> tuple[str, ...]:
    if condition.match is Match.RANGE:
        raise QueryInvalidError(f"{condition.key!r} has no range")
    return tuple(condition.values)


def _range(condition: Condition) -> tuple[datetime | None, datetime | None]:
    if condition.match is not Match.RANGE:
        raise QueryInvalidError(
            f"{condition.key!r} needs a range", hint="write op_time=[2026-11-01~2026-12-01]"
        )
    low, high = condition.values
    return (parse_moment(low) if low else None), (
        parse_moment(high) + timedelta(microseconds=1) if high else None
    )
