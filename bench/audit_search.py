"""Times filtered pages of millions of audit records on SQLite: `.venv/bin/python -m bench.audit_search`.

Fills a database by SQL (a minute per million with its indexes), then asks for pages as the API does.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from homeport.control.audit import AuditLog, within_projects
from homeport.db.engine import Database, open_database
from homeport.db.schema import EPOCH
from homeport.db.upgrade import upgrade_database
from homeport.rules.listing import parse_list_query

BUDGET_MS = 100.0
_REPEATS = 5
_QUERIES = (
    "",
    "operation=pull",
    "operation=push",
    "operation=delete",
    "operation=create",
    "username=ci-bot",
    "username=rare",
    "username=user7,operation=push",
    "username=ci-bot,operation=delete",
    "repository=library/app3",
    "repository=p7/app7,operation=pull",
    "project=library,operation=denial",
    "op_time=[2025-10-20~2025-10-21]",
    "op_time=[2025-10-20~2025-10-21],operation=push,username=user10",
    "resource=~APP99,operation=push",
    "outcome=denied",
    "operation_result=false,username=user7",
)
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO audit_record (recorded_at, operation, outcome, principal, auth_method, client_address, user_agent,
    request_id, project, repository, reference, digest, stream, sequence, hash)
SELECT 1760000000000000 + i * 3000000,
    CASE WHEN i % 20 = 0 THEN 'push' WHEN i % 20 = 1 THEN 'login' WHEN i % 1000 = 7 THEN 'denial'
        WHEN i % 50000 = 9 THEN 'delete' ELSE 'pull' END,
    CASE WHEN i % 1000 = 7 THEN 'denied' ELSE 'success' END,
    CASE WHEN i % 2 = 0 THEN 'ci-bot' WHEN i % 100001 = 5 THEN 'rare' ELSE 'user' || (i % 500) END,
    'bearer', '10.' || (i % 7) || '.' || (i % 250) || '.' || (i % 13), 'docker/27.1.1', printf('%016x', i),
    CASE WHEN i % 20 = 1 THEN NULL WHEN i % 3 = 0 THEN 'library' ELSE 'p' || (i % 200) END,
    CASE WHEN i % 20 = 1 THEN NULL WHEN i % 3 = 0 THEN 'library/app' || (i % 1000)
        ELSE 'p' || (i % 200) || '/app' || (i % 1000) END,
    'latest', printf('sha256:%064x', i % 5000), 0, i, printf('%064x', i) FROM n
"""


def fill(path: Path, count: int) -> None:
    """Add the records, faster than the server does: the indexes are made at the end."""
    with closing(sqlite3.connect(path)) as database:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
            database.execute(f"PRAGMA {pragma}")
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master"
            " WHERE type = 'index' AND tbl_name = 'audit_record' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        database.execute(_FILL, (count,))
        database.commit()
        for _, statement in indexes:
            database.execute(statement)
        database.execute("PRAGMA journal_mode=WAL")


async def measure(database: Database) -> bool:
    """Print the times of every query; tells whether the middle of each is within the budget."""
    log = AuditLog(database)
    is_met = True
    for text in _QUERIES:
        query = parse_list_query(unquote(text), "", 1, 10)
        times = []
        for _ in range(_REPEATS):
            begin = time.perf_counter()
            wanted = await log.parse(query)
            page = await log.page(wanted, query)
            times.append((time.perf_counter() - begin) * 1000)
        middle, longest = statistics.median(times), max(times)
        is_met &= middle <= BUDGET_MS
        print(f"{middle:8.1f} ms  {longest:8.1f} ms  {len(page.rows):3} {page.total:6}  {text}")
    begin = time.perf_counter()
    query = parse_list_query("", "", 1, 10)
    wanted = within_projects(await log.parse(query), {f"p{number}": EPOCH for number in range(20)})
    page = await log.page(wanted, query)
    taken = (time.perf_counter() - begin) * 1000
    print(f"{taken:8.1f} ms  {'':11}  {len(page.rows):3} {page.total:6}  of 20 projects")
    return is_met


async def run(path: Path, count: int) -> bool:
    """Make the database unless it is there, and measure."""
    is_new = not path.exists()
    for step in ("prepare", "measure"):
        database = open_database(f"sqlite:///{path}", path.parent / "run")
        await database.open()
        try:
            if step == "measure":
                return await measure(database)
            await upgrade_database(database)
        finally:
            await database.close()
        if is_new:
            fill(path, count)
    raise AssertionError


def main() -> int:
    """Run the measurement; returns 0 when every page is within the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--database", type=Path, help="a database that is kept; made when it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.database or Path(directory) / "audit.db"
        return 0 if asyncio.run(run(path, options.records)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
