"""Searching audit records gives what a plain look at all of them gives, in whatever steps and order."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.control.audit import AuditLog, within_projects
from homeport.control.errors import BadRequestError
from homeport.db.audit import AuditFilter, AuditRecord, add_records
from homeport.db.audit_search import Row, list_records
from homeport.db.engine import Database
from homeport.rules.listing import Order, QueryInvalidError, parse_list_query

pytestmark = pytest.mark.anyio

START = datetime(2026, 5, 6, tzinfo=UTC)
COUNT = 120
OPERATIONS = ("pull", "push", "delete", "login", "create_user")
PROJECTS = ("library", "payments", "", "web")
PRINCIPALS = ("alice", "bob", "ci-bot")


def record_of(number: int) -> AuditRecord:
    project = PROJECTS[number // 3 % 4] or None
    return AuditRecord(
        recorded_at=START + timedelta(seconds=number // 4),
        operation=OPERATIONS[number % 5],
        outcome="denied" if number % 7 == 0 else "success",
        principal=PRINCIPALS[number % 3],
        auth_method="basic",
        client_address="10.0.0.1",
        user_agent="tests",
        request_id=str(number),
        project=project,
        repository=project and f"{project}/app{number % 2}",
    )


RECORDS = [record_of(number) for number in range(COUNT)]


@pytest.fixture
async def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return a database with records whose ids are not in the order of their times."""
    monkeypatch.setattr("homeport.control.audit._FIRST_STEP", 3)
    monkeypatch.setattr("homeport.control.audit._LONGEST_STEP", 11)
    monkeypatch.setattr("homeport.control.audit._EXPORT_STEP", 7)
    await database.write(add_records, RECORDS[1::2] + RECORDS[::2])
    return database


def shown(rows: list[Row]) -> list[str]:
    return [record.request_id for _, record in rows]


async def pages(database: Database, wanted: AuditFilter, size: int, *, upwards: bool) -> list[Row]:
    query = parse_list_query("", "op_time" if upwards else "", 1, size)
    rows: list[Row] = []
    while True:
        page = await AuditLog(database).page(wanted, query)
        rows += page.rows
        assert page.total >= len(rows)
        if query.offset + size >= page.total:
            assert page.total == len(rows)
            return rows
        query = replace(query, page=query.page + 1)


def expected(is_wanted: Callable[[AuditRecord], bool]) -> set[str]:
    return {record.request_id for record in RECORDS if is_wanted(record)}


async def check(database: Database, wanted: AuditFilter, is_wanted: Callable[[AuditRecord], bool]) -> None:
    names = expected(is_wanted)
    for upwards in (False, True):
        rows = await pages(database, wanted, 9, upwards=upwards)
        assert sorted(shown(rows)) == sorted(names)
        keys = [(record.recorded_at, record_id) for record_id, record in rows]
        assert keys == sorted(keys, reverse=not upwards)
    listed = await database.read(list_records, wanted, limit=1000)
    assert sorted(shown(listed)) == sorted(names)
    lines = [part async for part in AuditLog(database).export(wanted, "jsonl")]
    assert "".join(lines).count("\n") == len(names)


async def test_everything_is_found(filled: Database) -> None:
    await check(filled, AuditFilter(), lambda _: True)
    assert (await AuditLog(filled).page(AuditFilter(), parse_list_query("", "", 1, 10))).total == COUNT


async def test_alternatives_are_merged(filled: Database) -> None:
    wanted = AuditFilter(any_of={"operation": ("push", "delete"), "outcome": ("success",)})
    await check(filled, wanted, lambda r: r.operation in {"push", "delete"} and r.outcome == "success")


async def test_no_alternative_finds_nothing(filled: Database) -> None:
    await check(filled, AuditFilter(operation="pull", any_of={"operation": ("push",)}), lambda _: False)


async def test_projects_are_shown_since_they_were_made(filled: Database) -> None:
    born = START + timedelta(seconds=15)
    for principal in (None, "alice"):
        wanted = within_projects(AuditFilter(principal=principal), {"library": born, "web": START})
        await check(
            filled,
            wanted,
            lambda r, principal=principal: (  # type: ignore[misc]
                (r.project == "web" or (r.project == "library" and r.recorded_at >= born))
                and principal in {None, r.principal}
            ),
        )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operation=st.none() | st.sampled_from(OPERATIONS),
    principal=st.none() | st.sampled_from(PRINCIPALS),
    project=st.none() | st.sampled_from(["library", "payments"]),
    outcome=st.none() | st.just("denied"),
    text=st.none() | st.sampled_from(["APP1", "web", "%"]),
    bounds=st.tuples(st.none() | st.integers(0, 30), st.none() | st.integers(0, 30)),
)
async def test_any_filter_finds_what_it_says(
    filled: Database,
    *,
    operation: str | None,
    principal: str | None,
    project: str | None,
    outcome: str | None,
    text: str | None,
    bounds: tuple[int | None, int | None],
) -> None:
    since, until = (None if each is None else START + timedelta(seconds=each) for each in bounds)
    wanted = AuditFilter(
        since=since,
        until=until,
        operation=operation,
        principal=principal,
        project=project,
        outcome=outcome,
        containing={} if text is None else {"repository": text},
    )

    def is_wanted(record: AuditRecord) -> bool:
        return (
            operation in {None, record.operation}
            and principal in {None, record.principal}
            and project in {None, record.project}
            and outcome in {None, record.outcome}
            and (text is None or text.lower() in (record.repository or ""))
            and (since is None or record.recorded_at >= since)
            and (until is None or record.recorded_at < until)
        )

    await check(filled, wanted, is_wanted)


async def test_search_that_takes_too_long_is_given_up(filled: Database) -> None:
    moments = iter(range(0, 1000, 6))
    log = AuditLog(filled, clock=lambda: float(next(moments)))
    wanted = AuditFilter(containing={"repository": "nowhere"})

    with pytest.raises(BadRequestError, match="too long"):
        await log.page(wanted, parse_list_query("", "", 1, 10))


async def test_page_too_far_away_is_refused(filled: Database) -> None:
    with pytest.raises(BadRequestError, match="too far"):
        await AuditLog(filled).page(AuditFilter(), parse_list_query("", "", 10_000, 100))


async def test_query_is_understood_in_harbors_words(filled: Database) -> None:
    log = AuditLog(filled)
    wanted = await log.parse(parse_list_query("operation=create,op_time=[2026-05-06~2026-05-07]", "", 1, 10))

    assert set(wanted.any_of["operation"]) == {"push", "create_user"}
    assert wanted.since == START
    query = replace(parse_list_query("", "", 1, 10), orders=(Order("username", is_descending=False),))
    with pytest.raises(QueryInvalidError):
        await log.parse(query)
