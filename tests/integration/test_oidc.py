"""Users of a certified OpenID provider sign in with a browser; their programs use a secret."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.api.client import Api
from tests.api.users.accounts import post_login
from tests.images import ImageSet
from tests.integration.containers import ContainerTools
from tests.openid.server import CLIENT_ID, Browser, OpenIdServer
from tests.ports import reserve_port
from tests.reader import Registry
from tests.servers import HomeportServer

pytestmark = pytest.mark.xdist_group("oidc")


@pytest.fixture(scope="module")
def port() -> int:
    """Return the port of the server, which the provider must know beforehand."""
    return reserve_port()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[OpenIdServer]:
    """Run a provider that the tests of this file share."""
    server = OpenIdServer(tmp_path_factory.mktemp("openid"), f"http://127.0.0.1:{port}/c/oidc/callback")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, port: int, provider: OpenIdServer
) -> Iterator[HomeportServer]:
    """Run a server whose users sign in at the provider."""
    server = HomeportServer(tmp_path_factory.mktemp("homeport-oidc"), "--listen", f"127.0.0.1:{port}")
    try:
        server.start()
        admin = Api(server.url, server.user, server.password)
        assert admin.put("/configurations", provider.settings()).status == 200
        yield server
    finally:
        server.stop()


@pytest.fixture
def admin(shared: HomeportServer, provider: OpenIdServer) -> Iterator[Api]:
    """Return the local administrator; what a test configures is undone."""
    admin = Api(shared.url, shared.user, shared.password)
    yield admin
    assert admin.put("/configurations", provider.settings()).status == 200


@pytest.fixture
def name(provider: OpenIdServer) -> str:
    """Return the name of a user at the provider that no other test has; its subject is `sub-NAME`."""
    name = f"u{secrets.token_hex(5)}"
    provider.add_account(
        f"sub-{name}", preferred_username=name, name=f"{name} Doe", email=f"{name}@example.org"
    )
    return name


def sign_in(api: Api, name: str, path: str = "/c/oidc/login") -> tuple[Browser, Api]:
    """Sign in with a new browser and return it and a caller with its session."""
    browser = Browser()
    back = browser.sign_in(api.url + path, f"sub-{name}")
    page = browser.get(back)
    assert page.status == 302, page.body
    return browser, caller_of(api, browser)


def caller_of(api: Api, browser: Browser) -> Api:
    sid = browser.cookie("sid")
    assert sid is not None
    probe = api.as_stranger().with_headers(cookie=f"sid={sid}")
    token = probe.get("/users/current").headers["x-harbor-csrf-token"]
    return api.as_stranger().with_headers(cookie=f"sid={sid}", x_harbor_csrf_token=token)


def test_first_sign_in_makes_the_account_and_a_secret_for_programs(
    admin: Api, name: str, provider: OpenIdServer
) -> None:
    browser, user = sign_in(admin, name)

    found = user.get("/users/current").json
    assert (found["username"], found["email"], found["realname"]) == (
        name,
        f"{name}@example.org",
        f"{name} Doe",
    )
    meta = found["oidc_user_meta"]
    assert meta["subiss"] == f"sub-{name}{provider.url}"
    assert browser.cookie("oidc_flow") is None
    program = admin.as_user(name, meta["secret"])
    assert program.get("/users/current").json["user_id"] == found["user_id"]
    assert program.request("GET", "/service/token?service=homeport").status == 200
    assert admin.as_user(name, "wrong").get("/users/current").status == 401
    # what programs have opens no browser's session
    assert post_login(admin, name, meta["secret"]).status == 401
    assert "secret" not in admin.get(f"/users/{found['user_id']}").json["oidc_user_meta"]
    records = admin.get(f"/auditlog-exts?q=username={name}&page_size=100").json
    assert {record["auth_method"] for record in records} >= {"oidc"}
    assert {"create", "login"} <= {record["operation"] for record in records}


def test_second_sign_in_finds_the_account_although_the_name_changed(
    admin: Api, name: str, provider: OpenIdServer
) -> None:
    _, user = sign_in(admin, name)
    first = user.get("/users/current").json
    provider.add_account(f"sub-{name}", preferred_username="another", email="new@example.org", name="New")

    _, user = sign_in(admin, name)

    second = user.get("/users/current").json
    assert (second["user_id"], second["username"]) == (first["user_id"], name)
    assert (second["email"], second["oidc_user_meta"]) != (first["email"], None)
    assert second["oidc_user_meta"]["secret"] == first["oidc_user_meta"]["secret"]


def test_another_secret_ends_the_old_one_and_tokens_given_for_it_but_no_session(
    admin: Api, name: str
) -> None:
    _, user = sign_in(admin, name)
    found = user.get("/users/current").json
    old = found["oidc_user_meta"]["secret"]
    token = admin.as_user(name, old).request("GET", "/service/token?service=homeport").json["token"]
    bearer = admin.as_stranger().with_headers(authorization=f"Bearer {token}")
    assert bearer.request("GET", "/v2/").status == 200

    assert user.put(f"/users/{found['user_id']}/cli_secret", {"secret": "Chosen-1-secret"}).status == 200

    assert admin.as_user(name, old).get("/users/current").status == 401
    assert bearer.request("GET", "/v2/").status == 401
    assert admin.as_user(name, "Chosen-1-secret").get("/users/current").status == 200
    assert user.get("/users/current").json["oidc_user_meta"]["secret"] == "Chosen-1-secret"


def test_groups_and_admin_group_follow_each_sign_in(admin: Api, name: str, provider: OpenIdServer) -> None:
    team = f"team-{name}"
    claims = {"preferred_username": name, "email": f"{name}@example.org"}
    provider.add_account(f"sub-{name}", **claims, groups=[team, "admins", "hidden"])
    changed = {"oidc_admin_group": "admins", "oidc_group_filter": "^(team-|admins)"}
    assert admin.put("/configurations", changed).status == 200
    _, user = sign_in(admin, name)

    groups = {
        group["group_name"]: group["group_type"] for group in admin.get("/usergroups?page_size=100").json
    }
    assert groups[team] == 3
    assert "hidden" not in groups
    assert user.get("/users/current").json["admin_role_in_auth"] is True
    assert user.get("/users").status == 200

    provider.add_account(f"sub-{name}", **claims, groups=[team])
    _, again = sign_in(admin, name)
    assert again.get("/users").status == 403
    assert user.get("/users").status == 403


def test_newcomer_chooses_a_name_when_accounts_are_not_made_by_themselves(admin: Api, name: str) -> None:
    assert admin.put("/configurations", {"oidc_auto_onboard": False}).status == 200
    browser = Browser()
    page = browser.get(browser.sign_in(f"{admin.url}/c/oidc/login?redirect_url=/projects", f"sub-{name}"))
    parts = urlsplit(page.headers["location"])
    assert (page.status, parts.path) == (302, "/oidc-onboard")
    assert parse_qs(parts.query) == {"username": [name], "redirect_url": ["/projects"]}
    assert browser.cookie("sid") is None

    def choose(chosen: str) -> int:
        body = f'{{"username": "{chosen}"}}'
        return browser.post(f"{admin.url}/c/oidc/onboard", body, "application/json").status

    assert choose("admin") == 409
    assert choose("Admin") == 409
    assert choose("robot$x") == 400
    assert choose(f"{name}-chosen") == 200
    assert caller_of(admin, browser).get("/users/current").json["username"] == f"{name}-chosen"


def test_taken_name_is_never_taken_over(admin: Api, name: str, provider: OpenIdServer) -> None:
    sign_in(admin, name)
    for subject, wanted in ((f"other-{name}", name), (f"root-{name}", "admin")):
        provider.add_account(subject, preferred_username=wanted, email="x@example.org")
        browser = Browser()
        page = browser.get(browser.sign_in(f"{admin.url}/c/oidc/login", subject))
        assert urlsplit(page.headers["location"]).path == "/oidc-onboard"
        assert browser.cookie("sid") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/projects?page=2", "/projects?page=2"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/%0d%0aset-cookie:x=y", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_browser_comes_back_to_pages_of_this_server_alone(
    admin: Api, name: str, given: str, expected: str
) -> None:
    query = urlencode({"redirect_url": given.replace("%0d%0a", "\r\n")})
    browser = Browser()

    page = browser.get(browser.sign_in(f"{admin.url}/c/oidc/login?{query}", f"sub-{name}"))

    assert (page.status, page.headers["location"]) == (302, expected)


def test_answer_in_another_browser_or_with_another_state_is_refused(admin: Api, name: str) -> None:
    browser = Browser()
    back = browser.sign_in(f"{admin.url}/c/oidc/login", f"sub-{name}")

    assert Browser().get(back).status == 401
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert browser.get(back.replace(state, "x" + state[1:])).status == 401
    victim = Browser()
    victim.get(f"{admin.url}/c/oidc/login")
    assert victim.get(back).status == 401
    assert victim.cookie("sid") is None


def test_code_works_once(admin: Api, name: str) -> None:
    browser = Browser()
    back = browser.sign_in(f"{admin.url}/c/oidc/login", f"sub-{name}")
    flow = dict(browser.cookies)
    assert browser.get(back).status == 302

    replayed = Browser(flow)

    assert replayed.get(back).status == 401


def test_answer_of_another_issuer_is_refused(admin: Api, name: str) -> None:
    browser = Browser()
    back = browser.sign_in(f"{admin.url}/c/oidc/login", f"sub-{name}")
    assert "iss=" in back

    assert browser.get(back.replace("iss=http", "iss=https")).status == 401


def test_login_asks_with_pkce_state_and_nonce(admin: Api) -> None:
    assert admin.put(
        "/configurations", {"oidc_extra_redirect_parms": '{"prompt":"login","state":"x"}'}
    ).status
    try:
        asked = parse_qs(urlsplit(Browser().get(f"{admin.url}/c/oidc/login").headers["location"]).query)
    finally:
        admin.put("/configurations", {"oidc_extra_redirect_parms": "{}"})

    assert asked["client_id"] == [CLIENT_ID]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["prompt"] == ["login"]
    assert len(asked["state"][0]) >= 32
    assert len(asked["nonce"][0]) >= 32
    assert asked["scope"] == ["openid profile email groups"]


def test_provider_that_is_down_leaves_the_local_admin_in(admin: Api) -> None:
    assert admin.put("/configurations", {"oidc_endpoint": "http://127.0.0.1:1"}).status == 200

    assert Browser().get(f"{admin.url}/c/oidc/login").status == 503
    assert admin.get("/users/current").status == 200


def test_ping_tells_whether_a_provider_answers(admin: Api, provider: OpenIdServer, name: str) -> None:
    assert admin.post("/system/oidc/ping", {"url": provider.url, "verify_cert": True}).status == 200
    for url in ("http://127.0.0.1:1", "ftp://x", "", "http://169.254.169.254/latest", admin.url):
        assert admin.post("/system/oidc/ping", {"url": url}).status == 400, url
    _, user = sign_in(admin, name)
    assert user.post("/system/oidc/ping", {"url": provider.url}).status == 403
    assert admin.as_stranger().post("/system/oidc/ping", {"url": provider.url}).status == 401


@pytest.fixture
def tools(tmp_path: Path, shared: HomeportServer, admin: Api, name: str) -> ContainerTools:
    """Return the programs of a user, whose secret they do not know yet."""
    _, user = sign_in(admin, name)
    secret = user.get("/users/current").json["oidc_user_meta"]["secret"]
    tools = ContainerTools(tmp_path / "tools", Registry(shared.url, name, secret, None)).prepare()
    tools.log_out()
    return tools


def test_skopeo_and_podman_work_with_the_secret(
    admin: Api, tools: ContainerTools, name: str, small_images: ImageSet
) -> None:
    assert admin.post("/projects", {"project_name": name}).status == 201
    member = {"role_id": 2, "member_user": {"username": name}}
    assert admin.post(f"/projects/{name}/members", member).status == 201
    secret, host = tools.registry.password, tools.registry.host
    login = ["login", "--tls-verify=false", "--username", name]

    tools.skopeo(*login, "--password", secret, host)
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(f"{name}/nginx", "1.22"))
    tools.skopeo("logout", host)
    tools.podman(*login, "--password-stdin", host, stdin=secret)
    tools.podman("pull", "--quiet", tools.name(f"{name}/nginx", "1.22"))
