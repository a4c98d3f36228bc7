"""The commands that manage a server, run as people and scripts run them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import HomeportServer

PASSWORD = "Correct-horse-1"


class CommandLine:
    """Runs `homeport` with a home directory of its own."""

    def __init__(self, home: Path, server: HomeportServer) -> None:
        self._server = server
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "HOMEPORT_URL": server.url,
            "HOMEPORT_USERNAME": server.user,
            "HOMEPORT_PASSWORD": server.password,
            "COLUMNS": "200",
        }

    def attempt(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command and return how it ended."""
        known = {key: value for key, value in {**self.environment, **environment}.items() if value}
        return subprocess.run(
            [sys.executable, "-m", "homeport", *words],
            input=stdin,
            env=known,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def run(self, *words: str, stdin: str = "") -> str:
        """Run the command, which must succeed, and return what it prints."""
        done = self.attempt(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, *words: str) -> list[dict[str, object]]:
        """Return the JSON lines that the command prints."""
        return [json.loads(line) for line in self.run(*words, "--json").splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    server = HomeportServer(tmp_path_factory.mktemp("commands"), workers=1)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def command(server: HomeportServer, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, server)


def test_project_with_members_robots_labels_and_quota(command: CommandLine) -> None:
    command.run("user", "create", "alice", "--email", "alice@example.com", stdin=f"{PASSWORD}\n")
    command.run("project", "create", "payments", "--quota", "2G")
    command.run("role", "create", "puller", "--may", "repository:pull", "--may", "tag:list")
    command.run("member", "add", "payments", "alice", "--role", "guest")
    command.run("member", "set", "payments", "alice", "--role", "maintainer")
    command.run("label", "create", "approved", "--project", "payments", "--color", "#2AA876")
    command.run("quota", "set", "payments", "3G")
    made = json.loads(command.run("robot", "create", "ci", "--project", "payments", "--json"))
    renewed = json.loads(command.run("robot", "refresh", made["name"], "--json"))

    members = {row["entity_name"]: row["role_name"] for row in command.rows("member", "list", "payments")}
    assert members == {"admin": "projectAdmin", "alice": "maintainer"}
    assert "puller" in [row["name"] for row in command.rows("role", "list")]
    assert [row["name"] for row in command.rows("label", "list", "--project", "payments")] == ["approved"]
    assert [row["name"] for row in command.rows("robot", "list", "--project", "payments")] == [made["name"]]
    assert made["name"] == "robot$payments+ci"
    assert made["secret"] != renewed["secret"]
    quotas = {row["ref"]["name"]: row["hard"]["storage"] for row in command.rows("quota", "list")}  # type: ignore[index]
    assert quotas["payments"] == 3 * 2**30
    assert "payments" in command.run("project", "list", "--name", "pay")
    assert "payments" in command.run("project", "show", "payments")

    command.run("robot", "delete", made["name"])
    command.run("label", "delete", "approved", "--project", "payments")
    command.run("member", "remove", "payments", "alice")
    command.run("role", "delete", "puller")
    command.run("project", "delete", "payments")
    command.run("user", "delete", "alice")
    assert "alice" not in command.run("user", "list")


def test_user_becomes_administrator_and_ordinary_again(command: CommandLine) -> None:
    command.run("user", "create", "carol", "--email", "carol@example.com", stdin=f"{PASSWORD}\n")
    command.run("user", "set-admin", "carol")
    flags = {row["username"]: row["sysadmin_flag"] for row in command.rows("user", "list")}
    assert flags["carol"] is True

    command.run("user", "set-admin", "carol", "--revoke")
    flags = {row["username"]: row["sysadmin_flag"] for row in command.rows("user", "list")}
    assert flags["carol"] is False


def test_login_is_remembered_for_its_owner_alone(command: CommandLine, server: HomeportServer) -> None:
    done = command.attempt("login", server.url, "--username", server.user, HOMEPORT_USERNAME="")
    assert done.returncode == 0, done.stderr

    accounts = command.home / ".config" / "homeport" / "accounts.json"
    assert accounts.stat().st_mode & 0o777 == 0o600
    alone = command.attempt("project", "list", HOMEPORT_URL="", HOMEPORT_USERNAME="", HOMEPORT_PASSWORD="")
    assert alone.returncode == 0, alone.stderr
    assert "library" in alone.stdout

    command.run("logout", server.url)
    gone = command.attempt("project", "list", HOMEPORT_URL="", HOMEPORT_USERNAME="", HOMEPORT_PASSWORD="")
    assert gone.returncode == 1
    assert server.password not in accounts.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("project", "show", "nowhere"), "the server refuses"),
        (("project", "create", "UPPER"), "the server refuses"),
        (("member", "add", "library", "nobody"), "the server refuses"),
        (("member", "remove", "library", "nobody"), "is no member"),
        (("robot", "delete", "robot$library+none"), "there is no robot"),
        (("quota", "set", "library", "much"), "is no size"),
        (("role", "create", "x", "--may", "everything"), "is no permission"),
        (("user", "delete", "nobody"), "there is no user"),
        (("user", "create", "weak", "--email", "w@example.com"), "there is no password"),
    ],
)
def test_refusal_is_one_clear_sentence(command: CommandLine, words: tuple[str, ...], message: str) -> None:
    done = command.attempt(*words)

    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_password_and_no_server_say_what_to_do(command: CommandLine) -> None:
    wrong = command.attempt("project", "list", HOMEPORT_PASSWORD="not-it-1A")
    nowhere = command.attempt("project", "list", HOMEPORT_URL="http://127.0.0.1:1")
    no_url = command.attempt("project", "list", HOMEPORT_URL="registry.example.com")

    assert "homeport login" in wrong.stderr
    assert "cannot be asked" in nowhere.stderr
    assert "is no URL" in no_url.stderr
    assert "not-it-1A" not in wrong.stderr
