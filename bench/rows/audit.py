"""Row `audit`: whether every pull that was answered under load is in the audit records."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from bench.client import AnswerError, Connection
from bench.content import make_image
from bench.figures import Line, at_least, exactly, spread
from bench.fill import database_path
from bench.harness import Bench
from bench.pushing import push_image, push_scope
from bench.rows.manifests import CLIENTS, run_wrk

ROW = "audit"

_COUNTED = "bench/counted"
_HURRIED = "bench/hurried"
_DRAIN_TIMEOUT_S = 60.0
_QUIET_S = 2.0
_POLL_S = 0.25


def measure(bench: Bench) -> list[Line]:
    """Return the records and the answers that they stand for.

    The client of the first line knows exactly how many answers it got. wrk hangs up on the requests that
    are under way at its end: they may be recorded, but it does not count them.
    """
    image = make_image(1, 1024)
    for repository in (_COUNTED, _HURRIED):
        push_image(bench.own, repository, "latest", image, 1)
    answers = _pull_counted(bench, bench.scale.audit_requests)
    hurried = run_wrk(bench.own, _HURRIED, bench.scale.wrk_s)["requests"]
    counted_records = _wait_for_records(bench, _COUNTED, answers)
    hurried_records = _wait_for_records(bench, _HURRIED, int(hurried))
    if hurried_records > hurried + CLIENTS:
        raise AnswerError(f"{hurried_records} pulls are recorded, but only {hurried} were answered")
    return [
        _line(f"pull records, {CLIENTS} clients", counted_records, answers, is_exact=True),
        _line("pull records, wrk", hurried_records, hurried, is_exact=False),
    ]


def _line(what: str, records: float, answers: float, *, is_exact: bool) -> Line:
    budget = exactly(1) if is_exact else at_least(1)
    return Line(ROW, what, "records", spread([records]), {"answers 200": spread([answers])}, budget)


def _pull_counted(bench: Bench, requests: int) -> int:
    headers = bench.own.authorization(push_scope(_COUNTED))

    def pull(count: int) -> int:
        with Connection(bench.own.port) as connection:
            target = f"/v2/{_COUNTED}/manifests/latest"
            return sum(connection.request("GET", target, headers).status == 200 for _ in range(count))

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(pull, [requests // CLIENTS] * CLIENTS))


def _wait_for_records(bench: Bench, repository: str, expected: int) -> int:
    """Return the number of pull records once they are all there and no more follow."""
    end = time.monotonic() + _DRAIN_TIMEOUT_S
    records = -1
    while time.monotonic() < end:
        before, records = records, _count_records(bench, repository)
        if records >= expected and records == before:
            return records
        time.sleep(_QUIET_S if records >= expected else _POLL_S)
    return records


def _count_records(bench: Bench, repository: str) -> int:
    uri = f"file:{database_path(bench.own.launch)}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
        statement = "SELECT count(*) FROM audit_record WHERE operation = 'pull' AND repository = ?"
        return int(database.execute(statement, (repository,)).fetchone()[0])
