import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.client import Api
from tests.api.users.accounts import PASSWORD, make_user, post_login, sign_in
from tests.programs import clean_environment
from tests.servers import HomeportServer

NEW = "Rescued-Passw0rd"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server whose users' passwords may change."""
    server = HomeportServer(tmp_path_factory.mktemp("rescue"), workers=1)
    yield server.start()
    server.stop()


@pytest.fixture
def admin(server: HomeportServer) -> Api:
    return Api(server.url, server.user, server.password)


def homeport(
    home: Path, *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))
    }
    return subprocess.run(
        [sys.executable, "-m", "homeport", *arguments],
        input=stdin,
        env={**inherited, **clean_environment(home, **environment)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_lost_password_is_replaced_while_the_server_runs(
    server: HomeportServer, admin: Api, tmp_path: Path
) -> None:
    user = make_user(admin)
    browser = sign_in(admin, user.name)
    for _ in range(8):
        post_login(admin, user.name, "Wrong-Passw0rd")
    command = ("user", "set-password", user.name, "--data", str(server.data))

    result = homeport(tmp_path, *command, stdin=f"{NEW}\n")

    assert (result.returncode, result.stderr) == (0, "")
    assert NEW not in result.stdout
    assert user.api.as_user(user.name, NEW).get("/users/current").status == 200
    assert user.api.get("/users/current").status == 401
    assert browser.get("/users/current").status == 401
    result = homeport(tmp_path, *command, HOMEPORT_PASSWORD=PASSWORD)
    assert result.returncode == 0
    assert user.api.get("/users/current").status == 200
    listed = homeport(
        tmp_path, "audit", "--json", "--operation", "update_user", "--data", str(server.data)
    ).stdout
    records = [json.loads(line) for line in listed.splitlines()]
    assert [each["auth_method"] for each in records if each["reference"] == user.name] == ["local"] * 2


@pytest.mark.parametrize("password", ["", "\n", "weak", "x" * 5000])
def test_password_that_cannot_be_is_refused(server: HomeportServer, tmp_path: Path, password: str) -> None:
    result = homeport(tmp_path, "user", "set-password", "admin", "--data", str(server.data), stdin=password)

    assert result.returncode == 1
    assert result.stderr.startswith("homeport: ")
    assert "Traceback" not in result.stderr


def test_unknown_user_and_missing_data_are_refused(server: HomeportServer, tmp_path: Path) -> None:
    nobody = homeport(
        tmp_path, "user", "set-password", "nobody", "--data", str(server.data), HOMEPORT_PASSWORD=NEW
    )
    nowhere = homeport(
        tmp_path, "user", "set-password", "admin", "--data", str(tmp_path), HOMEPORT_PASSWORD=NEW
    )

    assert (nobody.returncode, nowhere.returncode) == (1, 1)
    assert "nobody" in nobody.stderr
    assert "no Homeport data" in nowhere.stderr


def test_password_is_never_an_argument(server: HomeportServer, tmp_path: Path) -> None:
    result = homeport(tmp_path, "user", "set-password", "admin", NEW, "--data", str(server.data))

    assert result.returncode == 2
