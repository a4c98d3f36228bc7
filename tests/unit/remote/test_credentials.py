import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from homeport.remote.credentials import AuthFiles, Credentials, CredentialsError, parse_credentials
from homeport.remote.errors import UsageError

pytestmark = pytest.mark.anyio

Write = Callable[[Mapping[str, Any]], AuthFiles]


def encoded(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes one auth file and gives the lookup in it."""

    def write_file(document: Mapping[str, Any]) -> AuthFiles:
        path = tmp_path / "auth.json"
        path.write_text(json.dumps(document))
        return AuthFiles((path,))

    return write_file


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that installs a credential helper with this shell script."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def install(name: str, script: str) -> None:
        program = programs / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\nread server\n{script}\n")
        program.chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("key", "registry", "repository"),
    [
        ("registry.example", "registry.example", "a/b"),
        ("registry.example:5000", "registry.example:5000", "a/b"),
        ("https://registry.example/v2/", "registry.example", "a/b"),
        ("http://registry.example", "registry.example", ""),
        ("registry.example/a", "registry.example", "a/b"),
        ("registry.example/a/b", "registry.example", "a/b"),
        ("https://index.docker.io/v1/", "docker.io", "library/nginx"),
        ("docker.io", "docker.io", "library/nginx"),
        ("docker.io/library", "docker.io", "library/nginx"),
    ],
)
async def test_key_matches(key: str, registry: str, repository: str, write: Write) -> None:
    files = write({"auths": {key: encoded("alice", "secret")}})
    assert await files.find(registry, repository) == Credentials("alice", "secret")


@pytest.mark.parametrize(
    ("key", "registry", "repository"),
    [
        ("registry.example", "registry.example:5000", "a"),
        ("registry.example:5000", "registry.example", "a"),
        ("registry.example/a", "registry.example", "ab"),
        ("registry.example/a/b", "registry.example", "a"),
        ("example", "registry.example", "a"),
        ("https://index.docker.io/v1/", "registry.example", "a"),
    ],
)
async def test_key_of_another_place_does_not_match(
    key: str, registry: str, repository: str, write: Write
) -> None:
    files = write({"auths": {key: encoded("alice", "secret")}})
    assert await files.find(registry, repository) is None


async def test_longest_key_wins(write: Write) -> None:
    files = write(
        {
            "auths": {
                "host.example": encoded("host", "1"),
                "host.example/team": encoded("team", "2"),
                "host.example/team/app": encoded("app", "3"),
            }
        }
    )
    found = [await files.find("host.example", name) for name in ("team/app", "team/other", "else")]
    assert [credentials.username for credentials in found if credentials] == ["app", "team", "host"]


async def test_entry_forms(write: Write) -> None:
    files = write(
        {
            "auths": {
                "plain.example": {"username": "alice", "password": "a:b"},
                "token.example": {**encoded("00000000", ""), "identitytoken": "refresh"},
                "zero.example": {"auth": base64.b64encode(b"alice:secret\0\0").decode()},
                "empty.example": {},
            }
        }
    )
    assert await files.find("plain.example") == Credentials("alice", "a:b")
    assert await files.find("token.example") == Credentials("00000000", identity_token="refresh")
    assert await files.find("zero.example") == Credentials("alice", "secret")
    assert await files.find("empty.example") is None


async def test_first_file_with_an_entry_wins(tmp_path: Path) -> None:
    paths = [
        tmp_path / name for name in ("absent.json", "empty.json", "other.json", "right.json", "late.json")
    ]
    paths[1].write_text("")
    paths[2].write_text(json.dumps({"auths": {"other.example": encoded("x", "y")}}))
    paths[3].write_text(json.dumps({"auths": {"a.example": encoded("right", "y")}}))
    paths[4].write_text(json.dumps({"auths": {"a.example": encoded("late", "y")}}))
    assert await AuthFiles(tuple(paths)).find("a.example") == Credentials("right", "y")


@pytest.mark.parametrize("content", ["{", "[]", "5", '{"auths": {"a.example": {"auth": "%%%"}}}'])
async def test_damaged_file_is_an_error_that_shows_no_secret(content: str, tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(content)
    with pytest.raises(CredentialsError, match=r"auth\.json"):
        await AuthFiles((path,)).find("a.example")


async def test_helper_of_the_host_comes_before_the_entry(
    write: Write, helper: Callable[[str, str], None]
) -> None:
    helper("mine", """echo "{\\"Username\\":\\"from-$server\\",\\"Secret\\":\\"s\\"}" """)
    files = write({"credHelpers": {"a.example": "mine"}, "auths": {"a.example": encoded("file", "x")}})
    assert await files.find("a.example", "x/y") == Credentials("from-a.example", "s")


async def test_store_is_asked_for_docker_hub_by_its_old_url(
    write: Write, helper: Callable[[str, str], None]
) -> None:
    helper("store", """echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}" """)
    files = write({"credsStore": "store", "auths": {"https://index.docker.io/v1/": {}}})
    assert await files.find("docker.io", "library/nginx") == Credentials("https://index.docker.io/v1/", "s")
    assert await files.find("a.example") == Credentials("a.example", "s")


async def test_helper_may_give_an_identity_token_or_nothing(
    write: Write, helper: Callable[[str, str], None]
) -> None:
    helper("token", """echo '{"Username":"<token>","Secret":"refresh"}'""")
    helper("none", "echo 'credentials not found in native keychain'; exit 1")
    files = write({"credHelpers": {"a.example": "token", "b.example": "none"}})
    assert await files.find("a.example") == Credentials("", identity_token="refresh")
    assert await files.find("b.example") is None


@pytest.mark.parametrize("script", ["exit 3", "echo no json", "echo []", "head -c 100000 /dev/zero"])
async def test_helper_that_fails_is_an_error(
    script: str, write: Write, helper: Callable[[str, str], None]
) -> None:
    helper("bad", script)
    with pytest.raises(CredentialsError, match="docker-credential-bad"):
        await write({"credsStore": "bad"}).find("a.example")


@pytest.mark.parametrize("name", ["absent-helper", "../../bin/sh", "a b", "a/b"])
async def test_helper_that_cannot_be_is_an_error(name: str, write: Write) -> None:
    with pytest.raises(CredentialsError):
        await write({"credsStore": name}).find("a.example")


def test_files_are_looked_up_as_podman_and_docker_do() -> None:
    home = {"HOME": "/home/alice"}
    assert [
        str(path) for path in AuthFiles.of_environment({**home, "XDG_RUNTIME_DIR": "/run/user/5"}).paths
    ] == [
        "/run/user/5/containers/auth.json",
        "/home/alice/.config/containers/auth.json",
        "/home/alice/.docker/config.json",
    ]
    moved = {**home, "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d"}
    assert [str(path) for path in AuthFiles.of_environment(moved).paths] == [
        f"/run/containers/{os.getuid()}/auth.json",
        "/c/containers/auth.json",
        "/d/config.json",
    ]
    alone = AuthFiles.of_environment({**moved, "REGISTRY_AUTH_FILE": "/only/this.json"})
    assert [str(path) for path in alone.paths] == ["/only/this.json"]


def test_credentials_on_the_command_line() -> None:
    assert parse_credentials("alice:a:b") == Credentials("alice", "a:b")
    for text in ("", "alice", ":secret"):
        with pytest.raises(UsageError):
            parse_credentials(text)


def test_secrets_do_not_show() -> None:
    shown = repr(Credentials("alice", "secret", "refresh"))
    assert "secret" not in shown
    assert "refresh" not in shown
