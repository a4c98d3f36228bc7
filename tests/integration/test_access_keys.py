"""The keys that sign access tokens, over restarts, rotations and changed secrets of a real server."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reader import RegistryReader
from tests.servers import HomeportServer

from homeport.auth.sealing import SECRET_FILE

TIMEOUT_S = 60


@pytest.fixture
def server(tmp_path: Path) -> HomeportServer:
    """Return a server of this test alone, not started yet."""
    return HomeportServer(tmp_path / "homeport")


def ask_token(server: HomeportServer) -> str:
    answer = RegistryReader(server.registry).read("/service/token?scope=repository:library/nginx:pull")
    return str(json.loads(answer.body)["token"])


def is_accepted(server: HomeportServer, token: str) -> bool:
    reader = RegistryReader(server.registry)
    reader.registry = type(server.registry)(server.url)
    return reader.request("GET", "/v2/", {"Authorization": f"Bearer {token}"}).status == 200


def kid_of(token: str) -> str:
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    return str(header["kid"])


def test_access_token_survives_a_restart(server: HomeportServer) -> None:
    try:
        server.start()
        token = ask_token(server)
        server.kill()
        server.start()
        assert is_accepted(server, token)
        assert kid_of(ask_token(server)) == kid_of(token)
    finally:
        server.stop()


def test_rotated_key_signs_at_once_and_old_tokens_stay_valid(server: HomeportServer) -> None:
    try:
        server.start()
        old = ask_token(server)
        command = [sys.executable, "-m", "homeport", "keys", "rotate", "--data", str(server.data), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        tokens = [ask_token(server) for _ in range(4)]

        assert {kid_of(token) for token in tokens} == {json.loads(done.stdout)["kid"]} != {kid_of(old)}
        assert all(is_accepted(server, token) for token in [old, *tokens] * 2)
    finally:
        server.stop()


def test_server_with_another_instance_secret_does_not_start(server: HomeportServer) -> None:
    server.start()
    token = ask_token(server)
    server.stop()
    secret = server.data / "secrets" / SECRET_FILE
    kept = secret.read_bytes()
    secret.write_text("f" * 64)

    done = subprocess.run(
        server.command(), check=False, capture_output=True, timeout=TIMEOUT_S, env=dict(os.environ)
    )

    assert done.returncode == 1
    assert b"cannot be opened with this instance's secret" in done.stderr
    secret.write_bytes(kept)
    try:
        server.start()
        assert is_accepted(server, token)
    finally:
        server.stop()


def test_instance_secret_from_the_environment_leaves_no_file(tmp_path: Path) -> None:
    server = HomeportServer(tmp_path / "homeport", environment={"HOMEPORT_SECRET_KEY": "0123456789" * 4})
    try:
        server.start()
        assert is_accepted(server, ask_token(server))
    finally:
        server.stop()
    assert not (server.data / "secrets" / SECRET_FILE).exists()
    assert "0123456789" not in server.output
