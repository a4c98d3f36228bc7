from collections.abc import Iterator

import pytest
from tests.api.client import Api
from tests.api.users.accounts import PASSWORD, TestUser, make_user, profile_of, unique

from homeport.rules.roles import PUBLIC_PERMISSIONS


@pytest.fixture
def user(admin: Api) -> TestUser:
    return make_user(admin)


@pytest.fixture
def open_to_all(admin: Api) -> Iterator[None]:
    assert admin.put("/configurations", {"self_registration": True}).status == 200
    yield
    assert admin.put("/configurations", {"self_registration": False}).status == 200


def test_user_is_made_read_changed_and_deleted(admin: Api) -> None:
    name = unique()
    made = admin.post("/users", profile_of(name))
    user_id = made.created_id

    assert made.body == b""
    assert made.headers["location"] == f"/api/v2.0/users/{user_id}"
    found = admin.get(f"/users/{user_id}").json
    assert found.pop("creation_time").endswith("Z")
    assert found.pop("update_time").endswith("Z")
    assert found == {
        "user_id": user_id,
        "username": name,
        "email": f"{name}@example.org",
        "realname": "A Test",
        "comment": "made by a test",
        "sysadmin_flag": False,
        "admin_role_in_auth": False,
    }
    change = {"email": f"new-{name}@example.org", "realname": "Another", "comment": ""}
    assert admin.put(f"/users/{user_id}", change).status == 200
    assert admin.get(f"/users/{user_id}").json["email"] == f"new-{name}@example.org"
    assert admin.delete(f"/users/{user_id}").status == 200
    assert admin.get(f"/users/{user_id}").status == 404
    assert admin.as_user(name, PASSWORD).get("/users/current").status == 401


def test_name_of_a_deleted_user_is_free_again(admin: Api, user: TestUser) -> None:
    admin.delete(f"/users/{user.id}")

    assert admin.post("/users", profile_of(user.name)).status == 201


def test_users_are_listed_in_pages_sorted_and_filtered(admin: Api) -> None:
    names = sorted(make_user(admin).name for _ in range(3))

    answer = admin.get(f"/users?q=username=~{names[0]}")
    assert [each["username"] for each in answer.json] == [names[0]]
    assert answer.headers["x-total-count"] == "1"
    page = admin.get("/users?page_size=1&page=2&sort=-username")
    assert len(page.json) == 1
    assert int(page.headers["x-total-count"]) >= 4
    assert 'rel="prev"' in page.headers["link"]
    assert 'rel="next"' in page.headers["link"]


@pytest.mark.parametrize("query", ["q=password_hash=~a", "sort=password_hash", "q=is_sysadmin=1", "q=a"])
def test_list_cannot_be_asked_about_what_it_does_not_show(admin: Api, query: str) -> None:
    assert admin.get(f"/users?{query}").status == 400


def test_search_shows_ids_and_names_to_everybody_signed_in(user: TestUser, stranger: Api) -> None:
    assert user.api.get(f"/users/search?username={user.name[3:]}").json == [
        {"user_id": user.id, "username": user.name}
    ]
    assert user.api.get("/users/search").status == 422
    assert stranger.get(f"/users/search?username={user.name}").status == 401


def test_search_cannot_be_used_to_guess_emails(user: TestUser) -> None:
    assert user.api.get("/users/search?username=a&q=email=~example").status == 400
    assert user.api.get("/users/search?username=a&sort=email").status == 400


def test_search_takes_wildcards_as_they_are(user: TestUser) -> None:
    assert user.api.get("/users/search?username=%25").json == []
    assert user.api.get("/users/search?username=_").json == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a" * 256),
        ("username", "robot$x"),
        ("username", "a:b"),
        ("username", "a,b"),
        ("username", "Anonymous"),
        ("username", "a\x1bb"),
        ("username", " a"),
        ("password", ""),
        ("password", "Passw0r"),
        ("password", "passw0rd"),
        ("password", "PASSW0RD"),
        ("password", "Password"),
        ("password", "Passw0rd" * 17),
        ("email", ""),
        ("email", "nobody"),
        ("email", "a@b@c.org"),
        ("email", "<a>@example.org"),
        ("realname", ""),
        ("realname", "a#b"),
        ("comment", "x" * 31),
    ],
)
def test_user_that_cannot_be_is_refused(admin: Api, field: str, value: str) -> None:
    answer = admin.post("/users", {**profile_of(unique()), field: value})

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert field != "password" or value == "" or value not in answer.message


@pytest.mark.parametrize("body", [None, [], "x", {"username": 1}, {"username": "a" * 2000}, b"{", b"\xff"])
def test_body_that_is_no_user_is_refused(admin: Api, body: object) -> None:
    assert admin.post("/users", body).status in {400, 422}


def test_taken_name_and_email_are_conflicts(admin: Api, user: TestUser) -> None:
    same_name = {**profile_of(user.name), "email": f"{unique()}@example.org"}
    same_email = {**profile_of(unique()), "email": f"{user.name.upper()}@EXAMPLE.org"}

    assert (admin.post("/users", same_name).status, admin.post("/users", same_email).status) == (409, 409)


def test_body_cannot_make_its_user_more_than_a_user(admin: Api) -> None:
    name = unique()
    more = {
        "sysadmin_flag": True,
        "is_sysadmin": True,
        "admin_role_in_auth": True,
        "is_auditor": True,
        "user_id": 1,
        "id": 1,
        "role_id": 1,
        "source": "oidc",
        "password_hash": "x",
    }
    user_id = admin.post("/users", {**profile_of(name), **more}).created_id

    assert user_id != 1
    assert admin.get(f"/users/{user_id}").json["sysadmin_flag"] is False
    assert admin.as_user(name, PASSWORD).get("/users").status == 403


def test_profile_cannot_make_its_user_more_than_a_user(user: TestUser) -> None:
    body = {"realname": "More", "sysadmin_flag": True, "username": "admin", "is_auditor": True}

    assert user.api.put(f"/users/{user.id}", body).status == 200
    found = user.api.get("/users/current").json
    assert (found["sysadmin_flag"], found["username"]) == (False, user.name)
    assert user.api.get("/users").status == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users", None),
        ("POST", "/users", profile_of("x")),
        ("GET", "/users/{admin}", None),
        ("GET", "/users/999999", None),
        ("PUT", "/users/{admin}", {"realname": "x"}),
        ("PUT", "/users/999999", {"realname": "x"}),
        ("DELETE", "/users/{admin}", None),
        ("DELETE", "/users/{self}", None),
        ("DELETE", "/users/999999", None),
        ("PUT", "/users/{self}/sysadmin", {"sysadmin_flag": True}),
        ("PUT", "/users/{admin}/sysadmin", {"sysadmin_flag": False}),
        ("PUT", "/users/{admin}/password", {"new_password": "Passw0rd2"}),
        ("PUT", "/users/999999/password", {"new_password": "Passw0rd2"}),
        ("PUT", "/users/{admin}/cli_secret", {"secret": "Passw0rd2"}),
        ("PUT", "/users/999999/cli_secret", {"secret": "Passw0rd2"}),
    ],
)
def test_user_gets_no_power_over_others_and_learns_nothing(
    user: TestUser, stranger: Api, method: str, path: str, body: object
) -> None:
    filled = "/api/v2.0" + path.format(admin=1, self=user.id)

    assert user.api.request(method, filled, body).status == 403
    assert stranger.request(method, filled, body).status == 401


@pytest.mark.parametrize("user_id", ["0", "-1", "x", "9223372036854775808", "1e3", "999999"])
def test_id_of_no_user_is_refused(admin: Api, user_id: str) -> None:
    assert admin.get(f"/users/{user_id}").status in {404, 422}


def test_current_user_reads_itself(user: TestUser, stranger: Api) -> None:
    assert user.api.get("/users/current").json["user_id"] == user.id
    assert user.api.get(f"/users/{user.id}").json["username"] == user.name
    assert stranger.get("/users/current").status == 401


def test_permissions_are_those_of_the_scope(admin: Api, user: TestUser, stranger: Api) -> None:
    relative = user.api.get("/users/current/permissions?scope=/project/1&relative=true").json
    full = user.api.get("/users/current/permissions?scope=/project/1").json

    assert {f"{each['resource']}:{each['action']}" for each in relative} == PUBLIC_PERMISSIONS
    assert {"resource": "/project/1/repository", "action": "pull"} in full
    assert {"resource": "/project/1", "action": "read"} in full
    assert user.api.get("/users/current/permissions?scope=/system").json == []
    assert {"resource": "/system/user", "action": "create"} in admin.get(
        "/users/current/permissions?scope=/system"
    ).json
    assert stranger.get("/users/current/permissions?scope=/project/1").status == 401


@pytest.mark.parametrize(
    "scope", ["", "/project/999999", "/project/x", "/project/1/repository", "project/1", "/"]
)
def test_scope_that_is_not_known_has_no_permissions(user: TestUser, scope: str) -> None:
    answer = user.api.get(f"/users/current/permissions?scope={scope}")

    assert (answer.status, answer.json) == (200, [])


def test_sysadmin_is_made_and_unmade_at_once(admin: Api, user: TestUser) -> None:
    assert user.api.get("/users").status == 403
    assert admin.put(f"/users/{user.id}/sysadmin", {"sysadmin_flag": True}).status == 200
    assert user.api.get("/users").status == 200
    assert admin.put(f"/users/{user.id}/sysadmin", {"sysadmin_flag": False}).status == 200
    assert user.api.get("/users").status == 403
    assert admin.put("/users/999999/sysadmin", {"sysadmin_flag": True}).status == 404


def test_administrators_cannot_take_themselves_away(admin: Api) -> None:
    other = make_user(admin, is_sysadmin=True)

    assert other.api.delete(f"/users/{other.id}").status == 403
    assert other.api.put(f"/users/{other.id}/sysadmin", {"sysadmin_flag": False}).status == 403
    assert other.api.delete("/users/1").status == 403
    assert admin.delete(f"/users/{other.id}").status == 200


def test_own_password_needs_the_old_one(user: TestUser) -> None:
    path, new = f"/users/{user.id}/password", "Another-Passw0rd"

    assert user.api.put(path, {"new_password": new}).status == 403
    assert user.api.put(path, {"old_password": "Wrong-Passw0rd", "new_password": new}).status == 403
    assert user.api.put(path, {"old_password": PASSWORD, "new_password": "weak"}).status == 400
    assert user.api.put(path, {"old_password": PASSWORD, "new_password": PASSWORD}).status == 400
    assert user.api.put(path, {"old_password": PASSWORD, "new_password": new}).status == 200
    assert user.api.get("/users/current").status == 401
    assert user.api.as_user(user.name, new).get("/users/current").status == 200


def test_administrator_gives_others_a_password_without_the_old_one(admin: Api, user: TestUser) -> None:
    new = "Another-Passw0rd"

    assert admin.put(f"/users/{user.id}/password", {"new_password": new}).status == 200
    assert user.api.as_user(user.name, new).get("/users/current").status == 200
    assert admin.put("/users/1/password", {"new_password": new}).status == 403
    assert admin.put("/users/999999/password", {"new_password": new}).status == 404


def test_local_users_have_no_cli_secret(user: TestUser, admin: Api) -> None:
    body = {"secret": "Passw0rd-2"}

    assert user.api.put(f"/users/{user.id}/cli_secret", body).status == 412
    assert admin.put("/users/999999/cli_secret", body).status == 404


def test_strangers_register_only_while_it_is_allowed(stranger: Api) -> None:
    assert stranger.post("/users", profile_of(unique())).status == 401


@pytest.mark.usefixtures("open_to_all")
def test_self_registration_makes_an_ordinary_user(stranger: Api, user: TestUser) -> None:
    name = unique()

    assert stranger.post("/users", {**profile_of(name), "sysadmin_flag": True}).status == 201
    assert stranger.as_user(name, PASSWORD).get("/users/current").json["sysadmin_flag"] is False
    assert user.api.post("/users", profile_of(unique())).status == 403


def test_answers_never_show_hashes(admin: Api, user: TestUser) -> None:
    for path in ("/users?page_size=100", f"/users/{user.id}", "/users/current", "/users/search?username=a"):
        body = admin.get(path).body
        assert b"argon2" not in body
        assert b"password" not in body
