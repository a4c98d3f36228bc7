"""`homeport audit` beside a running server: lists, exports, and a verdict with an exit code."""

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.api.client import Api
from tests.servers import HomeportServer


def run(server: HomeportServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeport", "audit", *arguments, "--data", str(server.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def server(tmp_path: Path) -> HomeportServer:
    """Return a server that has recorded something and was stopped."""
    started = HomeportServer(tmp_path / "server", workers=1).start()
    try:
        api = Api(started.url, started.user, started.password).with_headers(user_agent="=1+1\x9b31m")
        for number in range(5):
            assert api.post("/projects", {"project_name": f"project-{number}"}).status == 201
        assert api.put("/configurations", {"oidc_client_secret": "hush-hush-hush"}).status == 200
    finally:
        started.stop()
    return started


def test_commands_tell_what_happened_and_that_it_is_whole(server: HomeportServer, tmp_path: Path) -> None:
    listed = run(server, "--operation", "create_project", "--json")
    assert [json.loads(line)["project"] for line in listed.stdout.splitlines()] == [
        f"project-{number}" for number in range(5)
    ]
    assert "\x9b" not in listed.stdout + run(server).stdout

    output = tmp_path / "records.csv"
    assert run(server, "export", "--format", "csv", "-o", str(output)).returncode == 0
    rows = list(csv.DictReader(output.open(newline="", encoding="utf-8")))
    assert {row["project"] for row in rows if row["operation"] == "create_project"} == {
        f"project-{number}" for number in range(5)
    }
    exported = run(server, "export", "--operation", "create_project", "--since", "1h")
    assert exported.stdout == listed.stdout
    assert "hush-hush" not in output.read_text(encoding="utf-8")
    assert run(server, "export", "--format", "xml").returncode == 1
    assert run(server, "export", "-o", str(tmp_path / "no" / "where")).returncode == 1

    verified = run(server, "verify")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (
        0,
        "The audit records are complete and unchanged.",
    )


def test_verify_names_what_was_changed_behind_the_servers_back(server: HomeportServer) -> None:
    with closing(sqlite3.connect(server.data / "homeport.db")) as database, database:
        chosen = "operation = 'create_project' AND project = 'project-3'"
        (stream, sequence), *_ = database.execute(
            f"SELECT stream, sequence FROM audit_record WHERE {chosen}"  # noqa: S608 - fixed text
        ).fetchall()
        database.execute(f"UPDATE audit_record SET principal = 'mallory' WHERE {chosen}")  # noqa: S608 - as above

    verified = run(server, "verify", "--json")
    findings = [row for row in map(json.loads, verified.stdout.splitlines()) if row["kind"] == "finding"]

    assert verified.returncode == 1
    assert [(row["fault"], row["stream"], row["sequence"]) for row in findings] == [
        ("changed", stream, sequence)
    ]
    assert run(server, "verify", "--stream", "0").returncode == 0


def test_verify_finds_a_database_that_was_put_back(server: HomeportServer) -> None:
    """The jobs process keeps the newest checkpoints outside the database, and signs once more at its end."""
    with closing(sqlite3.connect(server.data / "homeport.db")) as database, database:
        for table in ("audit_record", "audit_stream", "audit_checkpoint"):
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names

    verified = run(server, "verify")

    assert verified.returncode == 1
    assert "MISSING" in verified.stdout
