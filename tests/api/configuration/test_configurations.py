from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.client import Api
from tests.api.users.accounts import make_user, profile_of, sign_in, unique
from tests.servers import HomeportServer

PATH = "/configurations"


@pytest.fixture
def restored(admin: Api) -> Iterator[Api]:
    """Return the administrator; every setting is as before afterwards."""
    before = values(admin)
    yield admin
    after = values(admin)
    changed = {name: before[name] for name in before if after[name] != before[name]}
    if changed:
        assert admin.put(PATH, changed).status == 200


def values(admin: Api) -> dict[str, Any]:
    return {name: item["value"] for name, item in admin.get(PATH).json.items()}


def test_defaults_are_harbors(admin: Api) -> None:
    found = values(admin)

    assert found["auth_mode"] == "db_auth"
    assert found["self_registration"] is False
    assert found["project_creation_restriction"] == "everyone"
    assert found["token_expiration"] == 30
    assert found["robot_token_duration"] == 30
    assert found["robot_name_prefix"] == "robot$"
    assert found["storage_per_project"] == -1
    assert found["session_timeout"] == 60
    assert found["ldap_scope"] == 2
    assert found["oidc_verify_cert"] is True


def test_settings_are_changed_together(restored: Api) -> None:
    change = {"session_timeout": 30, "banner_message": '{"message":"hello"}', "ldap_base_dn": "dc=example"}

    answer = restored.put(PATH, change)

    assert (answer.status, answer.body) == (200, b"")
    found = values(restored)
    assert {name: found[name] for name in change} == change


def test_wrong_setting_changes_none(admin: Api) -> None:
    before = values(admin)

    answer = admin.put(PATH, {"session_timeout": 30, "ldap_scope": 7})

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert "ldap_scope" in answer.message
    assert values(admin) == before


@pytest.mark.parametrize(
    "change",
    [
        {"no_such_setting": 1},
        {"stored_names": ["x"]},
        {"auth_mode": "magic"},
        {"auth_mode": 1},
        {"self_registration": "true"},
        {"self_registration": 1},
        {"token_expiration": True},
        {"token_expiration": 0},
        {"token_expiration": -5},
        {"token_expiration": 10**30},
        {"token_expiration": 1.5},
        {"session_timeout": "60"},
        {"robot_token_duration": 0},
        {"storage_per_project": 0},
        {"storage_per_project": 2**60},
        {"project_creation_restriction": "nobody"},
        {"robot_name_prefix": ""},
        {"robot_name_prefix": "a b"},
        {"robot_name_prefix": "a:"},
        {"ldap_url": "http://example.org"},
        {"ldap_url": "ldap://"},
        {"ldap_url": "ldap://user:pw@example.org"},
        {"ldap_filter": "objectClass=*"},
        {"oidc_endpoint": "file:///etc/passwd"},
        {"oidc_endpoint": "https://[::1"},
        {"oidc_scope": "email"},
        {"oidc_group_filter": "("},
        {"oidc_extra_redirect_parms": "[]"},
        {"oidc_extra_redirect_parms": '{"a":1}'},
        {"oidc_client_secret": 5},
        {"banner_message": "hello"},
        {"banner_message": "[" * 5000},
        {"disabled_audit_log_event_types": "create_user,make_coffee"},
        {"ldap_base_dn": "x" * 9000},
        {"ldap_base_dn": "a\0b"},
        {"skip_audit_log_database": True},
        {"ldap_url": ["ldap://x"]},
        {"ldap_url": {}},
    ],
)
def test_setting_that_cannot_be_is_refused(admin: Api, change: dict[str, object]) -> None:
    answer = admin.put(PATH, change)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("body", [None, [], "x", 1, b"{", b"\xff", b'{"a":' * 2000])
def test_body_that_is_no_configuration_is_refused(admin: Api, body: object) -> None:
    assert admin.put(PATH, body).status in {400, 422}


def test_null_leaves_a_setting_as_it_is(admin: Api) -> None:
    before = values(admin)

    assert admin.put(PATH, {"session_timeout": None}).status == 200
    assert admin.put(PATH, {}).status == 200
    assert values(admin) == before


def test_secrets_are_taken_and_never_shown(restored: Api, homeport_server: HomeportServer) -> None:
    secret = "S3cret-of-the-directory"
    change = {"ldap_search_password": secret, "oidc_client_secret": secret, "uaa_client_secret": secret}

    assert restored.put(PATH, change).status == 200

    answer = restored.get(PATH)
    assert not set(change) & set(answer.json)
    assert secret.encode() not in answer.body
    for name in ("homeport.db", "homeport.db-wal"):
        path = homeport_server.data / name
        if path.exists():
            assert secret.encode() not in path.read_bytes()
    assert secret not in homeport_server.output


def test_authentication_mode_stays_while_there_are_users(admin: Api) -> None:
    make_user(admin)

    assert admin.get(PATH).json["auth_mode"] == {"value": "db_auth", "editable": False}
    assert admin.put(PATH, {"auth_mode": "ldap_auth", "ldap_url": "ldap://127.0.0.1"}).status == 400
    assert admin.put(PATH, {"auth_mode": "db_auth"}).status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("PUT", PATH), ("GET", "/internalconfig")])
def test_configuration_is_for_administrators(admin: Api, stranger: Api, method: str, path: str) -> None:
    body = {"self_registration": True} if method == "PUT" else None

    assert make_user(admin).api.request(method, "/api/v2.0" + path, body).status == 403
    assert stranger.request(method, "/api/v2.0" + path, body).status == 401


def test_internal_configuration_is_for_nobody(admin: Api) -> None:
    assert admin.get("/internalconfig").status == 403


def test_robot_prefix_is_kept_from_users(restored: Api) -> None:
    assert restored.put(PATH, {"robot_name_prefix": "bot-"}).status == 200

    assert restored.post("/users", profile_of(unique("bot"))).status == 400
    assert restored.post("/users", profile_of(unique("robot"))).status == 201


def test_token_lives_as_long_as_configured(restored: Api) -> None:
    assert restored.put(PATH, {"token_expiration": 2}).status == 200

    assert restored.request("GET", "/service/token?service=homeport").json["expires_in"] == 120


def test_read_only_mode_refuses_changes_and_serves_reads(restored: Api) -> None:
    user = make_user(restored)
    browser = sign_in(restored, user.name)
    push = "/v2/library/read-only/blobs/uploads/"
    assert restored.put(PATH, {"read_only": True}).status == 200
    try:
        refused = restored.request("POST", push)
        assert (refused.status, refused.code) == (405, "UNSUPPORTED")
        assert restored.request("DELETE", "/v2/library/read-only/manifests/latest").status == 405
        assert restored.as_stranger().request("POST", push).status == 401
        assert restored.request("GET", "/v2/_catalog").status == 200
        refused = restored.post("/users", profile_of(unique()))
        assert (refused.status, refused.code) == (403, "FORBIDDEN")
        assert "read-only" in refused.message
        assert restored.delete(f"/users/{user.id}").status == 403
        assert restored.get("/systeminfo").json["read_only"] is True
        assert browser.request("POST", "/c/log_out").status == 200
    finally:
        assert restored.put(PATH, {"read_only": False}).status == 200
    assert restored.request("POST", push).status == 202
    assert restored.delete(f"/users/{user.id}").status == 200
