import socket
from urllib.parse import urlsplit

from tests.api.client import Api
from tests.api.users.accounts import make_user, profile_of, unique


def test_body_that_is_too_long_is_refused(admin: Api) -> None:
    body = b'{"username":"' + b"a" * 1_100_000 + b'"}'

    answer = admin.request("POST", "/api/v2.0/users", body, {"content-type": "application/json"})

    assert (answer.status, "errors" in answer.json) == (413, True)


def test_endless_body_is_cut_off(admin: Api) -> None:
    parts = urlsplit(admin.url)
    assert parts.hostname is not None
    chunk = b"%x\r\n%s\r\n" % (65_536, b"a" * 65_536)
    head = b"POST /c/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as connection:
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                connection.sendall(chunk)
        except OSError:
            return
        assert connection.recv(64).startswith(b"HTTP/1.1 4")


def test_deep_json_is_refused(admin: Api) -> None:
    body = b"[" * 100_000

    answer = admin.request("PUT", "/api/v2.0/configurations", body, {"content-type": "application/json"})

    assert answer.status in {400, 422}


def test_auditor_reads_everything_and_changes_nothing(admin: Api) -> None:
    user = make_user(admin)
    assert user.api.put(f"/users/{user.id}/auditor", {"auditor_flag": True}).status == 403
    assert admin.put("/users/999999/auditor", {"auditor_flag": True}).status == 404
    assert user.api.get("/users").status == 403

    assert admin.put(f"/users/{user.id}/auditor", {"auditor_flag": True}).status == 200

    assert user.api.get("/users").status == 200
    assert user.api.get("/users/1").json["username"] == "admin"
    assert user.api.get("/usergroups").status == 200
    assert user.api.get("/configurations").status == 200
    assert user.api.get("/systeminfo/volumes").status == 200
    assert user.api.get("/users/current").json["auditor_flag"] is True
    assert user.api.post("/users", profile_of(unique())).status == 403
    assert user.api.put("/configurations", {"read_only": True}).status == 403
    assert user.api.put("/users/1/sysadmin", {"sysadmin_flag": False}).status == 403
    assert admin.put(f"/users/{user.id}/auditor", {"auditor_flag": False}).status == 200
    assert user.api.get("/users").status == 403
