"""The token service over HTTP, asked of a server with two workers."""

import base64
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from tests.servers import PASSWORD, HomeportServer

from homeport.web.api.token import MAX_FIELDS, MAX_FORM_BYTES

PATH = "/service/token"
FORM = "application/x-www-form-urlencoded"
SCOPE = "repository:library/nginx:push,pull"
TIMEOUT_S = 20


@dataclass(frozen=True)
class Answer:
    """A response, read to its end; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    @property
    def code(self) -> str:
        """The code of the only error."""
        (error,) = self.json["errors"]
        assert set(error) == {"code", "message", "detail"}
        return str(error["code"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server for the tests of this module, which let sign-ins fail."""
    server = HomeportServer(tmp_path_factory.mktemp("tokens"))
    try:
        yield server.start()
    finally:
        server.stop()


def request(
    server: HomeportServer,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    *,
    source: str = "127.0.0.1",
) -> Answer:
    connection = http.client.HTTPConnection(server.host, timeout=TIMEOUT_S, source_address=(source, 0))
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def basic(username: str = "admin", password: str = PASSWORD) -> dict[str, str]:
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def get(server: HomeportServer, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    return request(server, "GET", f"{PATH}?{query}", headers)


def post(server: HomeportServer, content_type: str = FORM, **fields: str) -> Answer:
    return request(server, "POST", PATH, {"Content-Type": content_type}, urlencode(fields))


def opens(server: HomeportServer, token: str, path: str = "/v2/", method: str = "GET") -> int:
    return request(server, method, path, {"Authorization": f"Bearer {token}"}).status


def test_token_by_get_has_the_fields_that_clients_read(server: HomeportServer) -> None:
    answer = get(server, f"service=homeport&scope={SCOPE}&account=admin&client_id=docker", basic())

    assert answer.status == 200
    assert set(answer.json) == {"token", "access_token", "expires_in", "issued_at"}
    assert answer.json["token"] == answer.json["access_token"]
    assert answer.json["expires_in"] == 1800
    assert datetime.fromisoformat(answer.json["issued_at"]).tzinfo is not None
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert opens(server, answer.json["token"]) == 200
    assert opens(server, answer.json["token"], "/v2/library/nginx/blobs/uploads/", "POST") == 202


def test_token_by_post_has_the_fields_that_clients_read(server: HomeportServer) -> None:
    answer = post(
        server,
        grant_type="password",
        service="homeport",
        client_id="containerd-client",
        username="admin",
        password=PASSWORD,
        scope=f"{SCOPE} repository:library/redis:delete registry:catalog:*",
    )

    assert answer.status == 200
    assert set(answer.json) == {"access_token", "scope", "expires_in", "issued_at"}
    assert answer.json["scope"] == (
        "repository:library/nginx:pull,push repository:library/redis:delete registry:catalog:*"
    )
    assert answer.headers["cache-control"] == "no-store"
    assert opens(server, answer.json["access_token"], "/v2/_catalog") == 200


def test_anonymous_token_opens_the_registry_for_public_pulls(server: HomeportServer) -> None:
    for headers in ({}, {"Authorization": "Basic Og=="}):
        answer = get(server, f"scope={SCOPE}", headers)
        assert answer.status == 200
        assert opens(server, answer.json["token"]) == 200
        assert opens(server, answer.json["token"], "/v2/library/nginx/manifests/absent") == 404
        assert opens(server, answer.json["token"], "/v2/library/nginx/blobs/uploads/", "POST") == 401
        assert opens(server, answer.json["token"], "/v2/_catalog") == 401


def test_scopes_may_be_repeated_or_separated_by_spaces(server: HomeportServer) -> None:
    several = ["repository:a/b:pull", "repository:c/d:push,pull"]
    for query in (urlencode({"scope": several}, doseq=True), f"scope={quote(' '.join(several))}"):
        token = get(server, query, basic()).json["token"]
        assert opens(server, token, "/v2/c/d/blobs/uploads/", "POST") == 202
        assert opens(server, token, "/v2/a/b/blobs/uploads/", "POST") == 401


def test_refresh_token_comes_when_asked_for_and_works(server: HomeportServer) -> None:
    by_get = get(server, "offline_token=true", basic()).json["refresh_token"]
    by_post = post(
        server, grant_type="password", username="admin", password=PASSWORD, access_type="offline"
    ).json["refresh_token"]
    assert by_get != by_post

    for refresh_token in (by_get, by_post):
        answer = post(server, grant_type="refresh_token", refresh_token=refresh_token, scope=SCOPE)
        assert answer.status == 200
        assert answer.json["scope"] == "repository:library/nginx:pull,push"
        assert "refresh_token" not in answer.json
        assert opens(server, answer.json["access_token"]) == 200


def test_form_may_name_its_charset(server: HomeportServer) -> None:
    for charset in ("utf-8", "UTF-8", '"utf-8"', "iso-8859-1"):
        answer = post(
            server, f"{FORM}; charset={charset}", grant_type="password", username="admin", password=PASSWORD
        )
        assert answer.status == 200


def test_head_answers_like_get_without_a_body(server: HomeportServer) -> None:
    answer = request(server, "HEAD", f"{PATH}?scope={SCOPE}")
    assert (answer.status, answer.body) == (200, b"")


Row = tuple[str, str, str, dict[str, str], str | None, int, str]
REFUSED: list[Row] = [
    ("wrong password", "GET", "", basic("nobody", "wrong guess"), None, 401, "UNAUTHORIZED"),
    ("malformed Basic", "GET", "", {"Authorization": "Basic !!!"}, None, 401, "UNAUTHORIZED"),
    ("access token", "GET", "", {"Authorization": "Bearer abc"}, None, 401, "UNAUTHORIZED"),
    ("unknown scheme", "GET", "", {"Authorization": "Negotiate abc"}, None, 401, "UNAUTHORIZED"),
    ("wrong percent encoding", "GET", "scope=%ff", {}, None, 400, "UNSUPPORTED"),
    ("many fields", "GET", "scope=x&" * (MAX_FIELDS + 1), {}, None, 400, "UNSUPPORTED"),
    ("repeated field", "GET", "client_id=a&client_id=b", {}, None, 400, "UNSUPPORTED"),
    ("no form", "POST", "", {}, "", 400, "UNSUPPORTED"),
    ("unknown grant", "POST", "", {}, "grant_type=authorization_code&code=x", 400, "UNSUPPORTED"),
    ("repeated grant", "POST", "", {}, "grant_type=password&grant_type=password", 400, "UNSUPPORTED"),
    ("grant in the query", "POST", "grant_type=password", {}, "", 400, "UNSUPPORTED"),
    ("no password", "POST", "", {}, "grant_type=password&username=nobody", 401, "UNAUTHORIZED"),
    ("no user name", "POST", "", {}, "grant_type=password&password=x", 401, "UNAUTHORIZED"),
    ("no refresh token", "POST", "", {}, "grant_type=refresh_token", 401, "UNAUTHORIZED"),
    ("bad refresh token", "POST", "", {}, "grant_type=refresh_token&refresh_token=x", 401, "UNAUTHORIZED"),
    ("JSON", "POST", "", {"Content-Type": "application/json"}, "{}", 415, "UNSUPPORTED"),
    ("charset", "POST", "", {"Content-Type": f"{FORM}; charset=utf-7"}, "x=y", 415, "UNSUPPORTED"),
    ("large form", "POST", "", {}, "x" * (MAX_FORM_BYTES + 1), 413, "UNSUPPORTED"),
    ("bad UTF-8", "POST", "", {}, "grant_type=password&username=%ff", 400, "UNSUPPORTED"),
    ("method", "PUT", "", {}, "", 405, "UNSUPPORTED"),
    ("method", "DELETE", "", {}, None, 405, "UNSUPPORTED"),
    ("method", "OPTIONS", "", {}, None, 405, "UNSUPPORTED"),
]


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row[0]}-{row[1]}") for row in REFUSED])
def test_wrong_request_gets_its_error(server: HomeportServer, row: Row) -> None:
    _name, method, query, headers, body, status, code = row
    sent = {"Content-Type": FORM, **headers} if body is not None else headers
    answer = request(server, method, f"{PATH}?{query}", sent, body, source="127.0.0.9")

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert answer.headers.get("www-authenticate") == (
        'Basic realm="homeport", charset="UTF-8"' if status == 401 else None
    )
    assert answer.headers.get("allow") == ("GET, HEAD, POST" if status == 405 else None)


def test_form_that_is_larger_than_announced_is_refused(server: HomeportServer) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024

    connection = http.client.HTTPConnection(server.host, timeout=TIMEOUT_S)
    try:
        connection.request("POST", PATH, chunks(), {"Content-Type": FORM}, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before all was sent: refused as well
    finally:
        connection.close()


def test_repeated_authorization_header_is_refused(server: HomeportServer) -> None:
    host, _, port = server.host.partition(":")
    header = f"Authorization: {basic()['Authorization']}\r\n"
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
        start = f"GET {PATH} HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n"
        connection.sendall(f"{start}{header}{header}\r\n".encode())
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 400")


def test_wrong_passwords_are_slowed_down_over_all_workers(server: HomeportServer) -> None:
    statuses = []
    for _ in range(12):
        answer = request(server, "GET", PATH, basic("mallory", "wrong guess"), source="127.0.0.2")
        statuses.append(answer.status)

    assert statuses[:6] == [401] * 6
    assert 429 in statuses[6:8]
    refused = post_from(server, "127.0.0.2", username="mallory", password="wrong guess")
    while refused.status == 401:
        refused = post_from(server, "127.0.0.2", username="mallory", password="wrong guess")
    assert (refused.status, refused.code) == (429, "TOOMANYREQUESTS")
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert get(server, "", basic()).status == 200


def test_wrong_passwords_are_slowed_down_under_v2_as_well(server: HomeportServer) -> None:
    answers = [
        request(server, "GET", "/v2/", basic("trudy", "wrong guess"), source="127.0.0.4") for _ in range(8)
    ]

    assert [answer.status for answer in answers[:6]] == [401] * 6
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].code == "TOOMANYREQUESTS"
    assert 1 <= int(refused[0].headers["retry-after"]) <= 900


def test_secrets_are_in_no_answer_and_no_log(server: HomeportServer) -> None:
    guess = "a-secret-guess"
    answers = [
        request(server, "GET", PATH, basic("nobody", guess), source="127.0.0.3"),
        request(server, "GET", PATH, {"Authorization": f"Bearer {guess}"}, source="127.0.0.3"),
        post_from(server, "127.0.0.3", username="nobody", password=guess),
        post(server, grant_type="refresh_token", refresh_token=guess),
        post(server, grant_type=guess),
    ]

    assert {answer.status for answer in answers} == {400, 401}
    assert not any(guess.encode() in answer.body for answer in answers)
    log = server.log.read_text()
    assert guess not in log
    assert PASSWORD not in log


def post_from(server: HomeportServer, source: str, **fields: str) -> Answer:
    body = urlencode({"grant_type": "password", **fields})
    return request(server, "POST", PATH, {"Content-Type": FORM}, body, source=source)
