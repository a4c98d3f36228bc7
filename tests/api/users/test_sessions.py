import pytest
from tests.api.client import Api
from tests.api.users.accounts import (
    FORM,
    PASSWORD,
    TestUser,
    cookie_of,
    make_user,
    post_login,
    sign_in,
)
from tests.servers import HomeportServer

PATH = "/c/login"


@pytest.fixture
def user(admin: Api) -> TestUser:
    return make_user(admin)


def test_session_is_begun_used_and_ended(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)

    assert browser.get("/users/current").json["username"] == user.name
    assert browser.put(f"/users/{user.id}", {"realname": "Of A Session"}).status == 200
    left = browser.request("GET", "/c/log_out")
    assert left.status == 200
    assert 'sid=""' in left.headers["set-cookie"]
    assert browser.get("/users/current").status == 401
    assert browser.request("GET", "/c/log_out").status == 200


def test_cookie_is_for_the_browser_alone(admin: Api, user: TestUser) -> None:
    answer = post_login(admin, user.name, PASSWORD)

    name, *attributes = (part.strip().lower() for part in answer.headers["set-cookie"].split(";"))
    assert name.startswith("sid=")
    assert sorted(attributes) == ["httponly", "path=/", "samesite=lax"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == b""


def test_cookie_is_secure_under_tls(homeport_tls_server: HomeportServer) -> None:
    server = homeport_tls_server
    api = Api(server.url, server.user, server.password, ca=server.ca)

    answer = post_login(api, server.user, server.password)

    assert "secure" in answer.headers["set-cookie"].lower()
    browser = api.as_stranger().with_headers(cookie=cookie_of(answer))
    assert browser.get("/users/current").status == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_change_without_the_csrf_token_is_refused(admin: Api, user: TestUser, token: str | None) -> None:
    cookie = cookie_of(post_login(admin, user.name, PASSWORD))
    browser = admin.as_stranger().with_headers(cookie=cookie)
    if token is not None:
        browser = browser.with_headers(cookie=cookie, x_harbor_csrf_token=token)

    assert browser.put(f"/users/{user.id}", {"realname": "Forged"}).status == 403
    assert browser.request("POST", "/c/log_out").status == 403
    assert browser.get("/users/current").json["realname"] == "A Test"


def test_csrf_token_of_another_session_is_refused(admin: Api, user: TestUser) -> None:
    theirs = sign_in(admin, make_user(admin).name)
    mine = sign_in(admin, user.name)
    token = theirs.headers["x-harbor-csrf-token"]

    mixed = mine.with_headers(cookie=mine.headers["cookie"], x_harbor_csrf_token=token)

    assert mixed.put(f"/users/{user.id}", {"realname": "Forged"}).status == 403


def test_answers_to_a_session_carry_its_csrf_token_and_others_none(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)

    answer = browser.get("/users/current")

    assert answer.headers["x-harbor-csrf-token"] == browser.headers["x-harbor-csrf-token"]
    assert user.api.get("/users/current").headers["x-harbor-csrf-token"] is None


def test_planted_cookie_is_never_taken_over(admin: Api, user: TestUser) -> None:
    planted = "sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

    answer = post_login(admin, user.name, PASSWORD, cookie=planted)

    assert cookie_of(answer) != planted
    assert admin.as_stranger().with_headers(cookie=planted).get("/users/current").status == 401


def test_signing_in_again_ends_the_browsers_session_before(admin: Api, user: TestUser) -> None:
    first = sign_in(admin, user.name)

    second = post_login(admin, user.name, PASSWORD, cookie=first.headers["cookie"])

    assert cookie_of(second) != first.headers["cookie"]
    assert first.get("/users/current").status == 401


def test_session_ends_with_its_user(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)

    admin.delete(f"/users/{user.id}")

    assert browser.get("/users/current").status == 401
    assert browser.get("/systeminfo").json.get("harbor_version") is None


def test_session_does_not_pass_to_a_user_made_later(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)
    admin.delete(f"/users/{user.id}")

    make_user(admin)

    assert browser.get("/users/current").status == 401


def test_session_ends_with_its_password(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)

    admin.put(f"/users/{user.id}/password", {"new_password": "Another-Passw0rd"})

    assert browser.get("/users/current").status == 401


def test_session_follows_rights_at_once(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)
    admin.put(f"/users/{user.id}/sysadmin", {"sysadmin_flag": True})
    assert browser.get("/users").status == 200

    admin.put(f"/users/{user.id}/sysadmin", {"sysadmin_flag": False})

    assert browser.get("/users").status == 403


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"principal":"admin","password":"x"}', "application/json"),
        (b"principal=admin&password=x", "text/plain"),
        (b"principal=admin&principal=other&password=x", FORM),
        (b"principal=admin%00&password=x", FORM),
        (b"principal=%ff&password=x", FORM),
        (b"\xff", FORM),
        (b"principal=a&" + b"&".join(b"x%d=" % number for number in range(30)), FORM),
        (b"principal=" + b"a" * 20_000, FORM),
    ],
)
def test_form_that_is_none_is_refused(stranger: Api, body: bytes, content_type: str) -> None:
    answer = stranger.request("POST", PATH, body, {"content-type": content_type})

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_empty_form_signs_nobody_in(stranger: Api) -> None:
    assert stranger.request("POST", PATH, b"", {"content-type": FORM}).status == 401
    assert stranger.request("GET", PATH).status == 405


@pytest.mark.parametrize(
    "header", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}]
)
def test_other_sites_cannot_sign_a_browser_in_or_out(
    admin: Api, user: TestUser, header: dict[str, str]
) -> None:
    browser = sign_in(admin, user.name)
    sent = {name.replace("_", "-"): value for name, value in header.items()}

    assert post_login(admin, user.name, PASSWORD, **header).status == 403
    assert browser.request("GET", "/c/log_out", headers=sent).status == 403
    assert browser.get("/users/current").status == 200


def test_own_pages_sign_in(admin: Api, user: TestUser) -> None:
    answer = post_login(admin, user.name, PASSWORD, origin=admin.url, sec_fetch_site="same-origin")

    assert answer.status == 200


@pytest.mark.parametrize("cookie", ["sid=", "sid=" + "a" * 4000, "sid=é", "sid=x; sid=y"])
def test_cookie_that_is_none_is_nobodys(stranger: Api, cookie: str) -> None:
    assert stranger.with_headers(cookie=cookie).get("/users/current").status == 401


def test_session_is_no_way_into_the_registry(admin: Api, user: TestUser) -> None:
    browser = sign_in(admin, user.name)

    assert browser.request("GET", "/v2/_catalog").status == 401


def test_registry_token_is_no_way_into_the_api(user: TestUser) -> None:
    token = user.api.request("GET", "/service/token?service=homeport").json["token"]

    bearer = user.api.as_stranger().with_headers(authorization=f"Bearer {token}")

    assert bearer.get("/users/current").status == 401
