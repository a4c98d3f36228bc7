"""Section 7 of the protocol: the token service."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.conftest import LOGINS
from tests.conformance.tokens import FORM, TARGET, TokenClient, access_of, bearer, claims_of
from tests.conformance.wire import Answer, Headers, Registry, basic

EVERYTHING = ["delete", "pull", "push"]
REPO = "repository:conformance/tokens"


@pytest.fixture(scope="session")
def tokens(registry: Registry) -> TokenClient:
    """Return a client of the shared registry's token service."""
    return TokenClient(registry)


def check_answer(answer: Answer) -> None:
    """Assert what every given token comes with."""
    assert answer.status == 200, answer
    assert answer.header("Content-Type") == "application/json"
    assert "no-store" in (answer.header("Cache-Control") or "")
    given = answer.json()
    assert given["expires_in"] >= 60
    issued_at = datetime.fromisoformat(given["issued_at"])
    assert issued_at.tzinfo is not None
    assert abs(datetime.now(UTC) - issued_at) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ([], {}),
        ([""], {}),
        ([f"{REPO}:pull"], {REPO: ["pull"]}),
        ([f"{REPO}:pull,push"], {REPO: ["pull", "push"]}),
        ([f"{REPO}:push,pull"], {REPO: ["pull", "push"]}),
        ([f"{REPO}:push,pull,delete"], {REPO: EVERYTHING}),
        ([f"{REPO}:*"], {REPO: EVERYTHING}),
        ([f"{REPO}:pull,*"], {REPO: EVERYTHING}),
        ([f"{REPO}:pull", f"{REPO}:push"], {REPO: ["pull", "push"]}),
        ([f"{REPO}:pull repository:a/b:pull"], {REPO: ["pull"], "repository:a/b": ["pull"]}),
        ([f"{REPO}:pull", "repository:a/b:push"], {REPO: ["pull"], "repository:a/b": ["push"]}),
        ([f"  {REPO}:pull  repository:a/b:pull "], {REPO: ["pull"], "repository:a/b": ["pull"]}),
        (["registry:catalog:*"], {"registry:catalog": ["*"]}),
        (["registry:catalog:pull"], {}),
        (["registry:other:*"], {}),
        ([f"{REPO}:dance"], {}),
        ([f"{REPO}:pull,dance"], {REPO: ["pull"]}),
        ([f"{REPO}:"], {}),
        ([f"{REPO}:,pull,"], {REPO: ["pull"]}),
        (["repository(plugin):a/b:pull"], {}),
        (["unknown:a/b:pull"], {}),
        (["repository"], {}),
        (["repository:a/b"], {}),
        (["::"], {}),
        (["nonsense", f"{REPO}:pull"], {REPO: ["pull"]}),
        (["repository:UPPER/case:pull"], {}),
        (["repository:../../etc:pull"], {}),
        (["repository:a/b:c:pull"], {}),
        (["repository:" + "a" * 300 + ":pull"], {}),
    ],
    ids=str,
)
def test_token_covers_what_is_asked_and_allowed(
    tokens: TokenClient, scopes: list[str], expected: dict[str, list[str]]
) -> None:
    answer = tokens.get([("service", "homeport"), *(("scope", scope) for scope in scopes)])
    check_answer(answer)
    given = answer.json()
    assert given["token"] == given["access_token"]
    assert "refresh_token" not in given
    assert access_of(given["token"]) == expected


def test_token_says_what_clients_read(tokens: TokenClient) -> None:
    answer = tokens.get([("service", "homeport"), ("account", "admin"), ("client_id", "docker")])
    claims = claims_of(answer.json()["token"])
    assert claims["sub"] == tokens.registry.user
    assert claims["exp"] - claims["iat"] == answer.json()["expires_in"]
    assert claims["nbf"] <= claims["iat"]
    assert claims["jti"]
    assert claims["iss"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("repository:library/x:pull", {"repository:library/x": ["pull"]}),
        ("repository:library/x:pull,push", {"repository:library/x": ["pull"]}),
        ("repository:library/x:*", {"repository:library/x": ["pull"]}),
        ("repository:library/x:delete", {}),
        ("repository:conformance/x:pull", {}),
        ("repository:absent/x:pull,push", {}),
        ("registry:catalog:*", {}),
        ("", {}),
    ],
)
@pytest.mark.parametrize(
    "send", [(), (("Authorization", "Basic Og=="),), (("Authorization", "basic Og=="),)], ids=str
)
def test_token_of_nobody_covers_pulls_of_public_projects(
    tokens: TokenClient, send: Headers, scope: str, expected: dict[str, list[str]]
) -> None:
    answer = tokens.get([("service", "homeport"), ("scope", scope)], send)
    check_answer(answer)
    assert access_of(answer.json()["token"]) == expected
    assert claims_of(answer.json()["token"])["sub"] == ""


@LOGINS
@pytest.mark.parametrize(
    "authorization",
    [
        basic("admin", "wrong-password"),
        basic("nobody", "password"),
        basic("admin", ""),
        basic("", "password"),
        "Basic !!!",
        "Basic",
        "Basic " + "YWRtaW4=",
        "Basic /////w==",
        "Bearer abc",
        "Digest x",
        "x",
        "",
    ],
)
def test_token_for_bad_credentials_is_refused(own_tokens: TokenClient, authorization: str) -> None:
    answer = own_tokens.get([("service", "homeport")], (("Authorization", authorization),))
    assert answer.status == 401
    assert answer.codes() == ["UNAUTHORIZED"]
    assert answer.header("WWW-Authenticate")


def test_refresh_token_is_given_when_asked_for(tokens: TokenClient) -> None:
    answer = tokens.get([("service", "homeport"), ("offline_token", "true"), ("client_id", "docker")])
    check_answer(answer)
    refresh = answer.json()["refresh_token"]
    again = tokens.post(
        [
            ("grant_type", "refresh_token"),
            ("service", "homeport"),
            ("client_id", "docker"),
            ("refresh_token", refresh),
            ("scope", f"{REPO}:pull,push repository:a/b:pull"),
        ]
    )
    check_answer(again)
    assert again.json()["scope"] == f"{REPO}:pull,push repository:a/b:pull"
    assert access_of(again.json()["access_token"]) == {REPO: ["pull", "push"], "repository:a/b": ["pull"]}
    assert claims_of(again.json()["access_token"])["sub"] == tokens.registry.user


def test_refresh_token_of_nobody_is_not_given(tokens: TokenClient) -> None:
    answer = tokens.get([("service", "homeport"), ("offline_token", "true")], ())
    check_answer(answer)
    assert "refresh_token" not in answer.json()


def password_form(registry: Registry, **changes: str) -> list[tuple[str, str]]:
    """Return the form of containerd's first request."""
    fields = {
        "grant_type": "password",
        "service": "homeport",
        "client_id": "containerd-client",
        "username": registry.user,
        "password": registry.password,
        "scope": f"{REPO}:pull",
    }
    return [(name, value) for name, value in (fields | changes).items() if value]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded",
    ],
)
def test_password_form_gives_a_token(tokens: TokenClient, content_type: str) -> None:
    answer = tokens.post(password_form(tokens.registry), (("Content-Type", content_type),))
    check_answer(answer)
    given = answer.json()
    assert given["scope"] == f"{REPO}:pull"
    assert "refresh_token" not in given
    assert access_of(given["access_token"]) == {REPO: ["pull"]}


def test_password_form_gives_a_refresh_token_for_offline_access(tokens: TokenClient) -> None:
    answer = tokens.post(password_form(tokens.registry, access_type="offline"))
    check_answer(answer)
    refresh = answer.json()["refresh_token"]
    form = [
        ("grant_type", "refresh_token"),
        ("service", "homeport"),
        ("client_id", "x"),
        ("refresh_token", refresh),
    ]
    for _ in range(2):
        again = tokens.post([*form, ("access_type", "offline")])
        check_answer(again)
        assert again.json()["scope"] == ""


def test_token_of_a_form_opens_the_registry(tokens: TokenClient) -> None:
    token = tokens.post(password_form(tokens.registry)).json()["access_token"]
    assert tokens.registry.ask("GET", "/v2/", bearer(token)).status == 200


@LOGINS
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"password": "wrong-password"}, 401),
        ({"username": "nobody"}, 401),
        ({"password": ""}, 401),
        ({"username": ""}, 401),
        ({"grant_type": ""}, 400),
        ({"grant_type": "client_credentials"}, 400),
        ({"grant_type": "authorization_code"}, 400),
        ({"grant_type": "refresh_token"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "garbage"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 10_000}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "a.b.c"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "\u4e2d\0"}, 400),
    ],
    ids=str,
)
def test_bad_form_is_refused(own_tokens: TokenClient, changes: dict[str, str], status: int) -> None:
    answer = own_tokens.post(password_form(own_tokens.registry, **changes))
    assert answer.status == status
    assert answer.json()["errors"][0]["code"] == ("UNAUTHORIZED" if status == 401 else "UNSUPPORTED")


@LOGINS
def test_access_token_is_no_refresh_token(own_tokens: TokenClient) -> None:
    token = own_tokens.token(f"{REPO}:pull")
    answer = own_tokens.post(
        [("grant_type", "refresh_token"), ("service", "homeport"), ("refresh_token", token)]
    )
    assert answer.status == 401


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
def test_token_service_takes_no_other_method(tokens: TokenClient, method: str) -> None:
    answer = tokens.registry.ask_as_admin(method, TARGET)
    assert answer.status == 405
    assert set((answer.header("Allow") or "").replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"]
)
def test_form_of_another_type_is_refused(tokens: TokenClient, content_type: str) -> None:
    answer = tokens.post(password_form(tokens.registry), (("Content-Type", content_type),))
    assert answer.status == 415


def test_form_of_an_unknown_charset_is_refused(tokens: TokenClient) -> None:
    send = (("Content-Type", "application/x-www-form-urlencoded; charset=utf-7"),)
    assert tokens.post(password_form(tokens.registry), send).status == 415


@LOGINS
def test_wrong_passwords_are_slowed_down(own_tokens: TokenClient) -> None:
    send: Headers = (("Authorization", basic("slowed-account", "wrong-password")),)
    answers = [own_tokens.get((), send) for _ in range(30)]
    assert {answer.status for answer in answers} == {401, 429}
    assert answers[0].status == 401
    slowed = next(answer for answer in answers if answer.status == 429)
    assert slowed.codes() == ["TOOMANYREQUESTS"]
    assert int(slowed.header("Retry-After") or "") >= 1


def test_token_service_ignores_the_forms_place(tokens: TokenClient) -> None:
    """Credentials in the query are no credentials."""
    registry = tokens.registry
    target = f"{TARGET}?username={registry.user}&password={registry.password}&grant_type=password"
    assert registry.ask("POST", target, FORM).status == 400
