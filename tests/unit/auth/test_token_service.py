from datetime import UTC, datetime

import pytest
from tests.unit.auth.house import ADDRESS, FACTS, PASSWORD, TTL, House, basic, bearer

from homeport.auth.bootstrap import change_password
from homeport.auth.errors import (
    AuthenticationError,
    CredentialsMalformedError,
    LoginSlowedDownError,
    PasswordWrongError,
    RefreshTokenInvalidError,
)
from homeport.auth.login_event import LoginEvent, LoginOutcome
from homeport.auth.secret import Secret
from homeport.auth.token_service import TokenAnswer, TokenRequest, TokenService
from homeport.db.engine import Database, DatabaseUnavailableError
from homeport.db.repositories import ensure_project
from homeport.oci.scope import MAX_SCOPES
from homeport.rules.permissions import ALL_ACTIONS, AuthMethod, RepositoryAction

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
async def house(database: Database) -> House:
    """Return a house with a public and a private project, an administrator and a user."""
    return await furnished(House(database))


async def furnished(house: House) -> House:
    await house.database.write(ensure_project, "library", NOW, is_public=True)
    await house.database.write(ensure_project, "secret", NOW, is_public=False)
    await house.add_user("alice")
    await house.add_user("admin", is_sysadmin=True)
    return house


async def ask(
    house: House, *scopes: str, user: str | None = "alice", wants_refresh_token: bool = False
) -> TokenAnswer:
    header = None if user is None else basic(user)
    request = TokenRequest(scopes, "docker", wants_refresh_token)
    return await house.service.answer_header(header, request, FACTS)


async def granted(house: House, *scopes: str, user: str | None = "alice") -> list[str]:
    return [str(scope) for scope in (await ask(house, *scopes, user=user)).granted]


TABLE = [
    # who, asked, granted
    (None, ["repository:library/nginx:pull"], ["repository:library/nginx:pull"]),
    (None, ["repository:library/nginx:pull,push"], ["repository:library/nginx:pull"]),
    (None, ["repository:library/nginx:*"], ["repository:library/nginx:pull"]),
    (None, ["repository:secret/nginx:pull"], []),
    (None, ["repository:absent/nginx:pull"], []),
    (None, ["registry:catalog:*"], []),
    ("alice", ["repository:library/nginx:push,pull,delete"], ["repository:library/nginx:pull"]),
    ("alice", ["repository:library/nginx:push"], []),
    ("alice", ["repository:secret/nginx:pull"], []),
    ("alice", ["repository:absent/nginx:push"], []),
    ("alice", ["registry:catalog:*"], ["registry:catalog:*"]),
    ("alice", ["registry:catalog:pull"], []),
    ("admin", ["repository:library/nginx:push,pull"], ["repository:library/nginx:pull,push"]),
    ("admin", ["repository:library/nginx:*"], ["repository:library/nginx:pull,push,delete"]),
    ("admin", ["repository:secret/a/b:delete"], ["repository:secret/a/b:delete"]),
    ("admin", ["repository:absent/nginx:push,pull"], ["repository:absent/nginx:pull,push"]),
    ("admin", ["repository:library/nginx:fly,pull"], ["repository:library/nginx:pull"]),
    ("admin", ["repository:library/nginx:"], []),
    ("admin", [], []),
    ("admin", [""], []),
    ("admin", ["repository:a/b:pull repository:c/d:push"], ["repository:a/b:pull", "repository:c/d:push"]),
    ("admin", ["repository:a/b:pull", "repository:a/b:push"], ["repository:a/b:pull,push"]),
    (
        "admin",
        ["repository:a/b:pull", "registry:catalog:*", "repository:c/d:pull"],
        ["repository:a/b:pull", "repository:c/d:pull", "registry:catalog:*"],
    ),
    # tricks
    ("admin", ["repository:library/../secret/x:pull"], []),
    ("admin", ["repository:../x:pull"], []),
    ("admin", ["repository:/library/nginx:pull"], []),
    ("admin", ["repository:library//nginx:pull"], []),
    ("admin", ["repository:library/nginx/:pull"], []),
    ("admin", ["repository:LIBRARY/nginx:pull"], []),
    ("admin", ["repository:library/*:pull"], []),
    ("admin", ["repository:*:*"], []),
    ("admin", ["repository:library%2fnginx:pull"], []),
    ("admin", ["repository:host:5000/library/nginx:pull"], []),
    ("admin", ["repository:library/nginx:pull\0"], []),
    ("admin", ["repository:" + "a" * 256 + ":pull"], []),
    ("admin", ["repository(plugin):library/nginx:pull", "plugin:x:install"], []),
    ("admin", ["registry:other:*", "artifact:x:*", "*:*:*", ":::", "repository", "::pull"], []),
]


@pytest.mark.parametrize(("user", "asked", "expected"), TABLE)
async def test_grant_is_what_was_asked_and_is_allowed(
    sqlite_house: House, user: str | None, asked: list[str], expected: list[str]
) -> None:
    await furnished(sqlite_house)
    assert await granted(sqlite_house, *asked, user=user) == expected


async def test_grant_depends_on_the_projects_in_the_database(house: House) -> None:
    scopes = [f"repository:{name}/x:pull,push" for name in ("library", "secret", "absent")]

    assert await granted(house, *scopes) == ["repository:library/x:pull"]
    assert len(await granted(house, *scopes, user="admin")) == 3


async def test_scopes_are_bounded(house: House) -> None:
    scopes = [f"repository:library/{number}:pull" for number in range(5000)]

    assert len(await granted(house, *scopes)) == MAX_SCOPES
    assert len(await granted(house, " ".join(scopes))) == MAX_SCOPES


async def test_answer_opens_the_registry_with_what_was_granted(house: House, other_house: House) -> None:
    answer = await ask(house, "repository:library/nginx:*", "registry:catalog:*", user="admin")

    authentication = await other_house.authenticator.authenticate(bearer(answer.access_token), ADDRESS)

    assert authentication.principal.name == "admin"
    assert authentication.scopes == {"library/nginx": ALL_ACTIONS}
    assert authentication.may_list_catalog
    assert answer.expires_in_s == TTL.total_seconds()
    assert answer.issued_at == house.clock()


async def test_answer_without_scopes_still_signs_in(house: House) -> None:
    answer = await ask(house)

    authentication = await house.authenticator.authenticate(bearer(answer.access_token), ADDRESS)

    assert authentication.principal.name == "alice"
    assert authentication.scopes == {}
    assert not authentication.may_list_catalog


async def test_anonymous_answer_is_for_public_pulls(house: House) -> None:
    for header in (None, b"Basic Og=="):
        request = TokenRequest(["repository:library/nginx:pull,push"], wants_refresh_token=True)
        answer = await house.service.answer_header(header, request, FACTS)
        authentication = await house.authenticator.authenticate(bearer(answer.access_token), ADDRESS)
        assert authentication.principal.is_anonymous
        assert authentication.scopes == {"library/nginx": frozenset({RepositoryAction.PULL})}
        assert answer.refresh_token is None
    assert house.events == []


async def test_refresh_token_is_given_when_wanted_and_gives_tokens(house: House) -> None:
    assert (await ask(house)).refresh_token is None
    refresh_token = (await ask(house, wants_refresh_token=True)).refresh_token
    assert refresh_token is not None

    scopes = ["repository:library/nginx:pull,push"]
    answer = await house.service.answer_refresh_token(refresh_token, TokenRequest(scopes), FACTS)
    offline = await house.service.answer_refresh_token(refresh_token, TokenRequest(scopes, "", True), FACTS)

    assert list(map(str, answer.granted)) == ["repository:library/nginx:pull"]
    assert (answer.refresh_token, offline.refresh_token) == (None, refresh_token)
    authentication = await house.authenticator.authenticate(bearer(answer.access_token), ADDRESS)
    assert authentication.principal.name == "alice"


async def test_refresh_token_after_a_password_change_is_refused(house: House) -> None:
    refresh_token = (await ask(house, wants_refresh_token=True)).refresh_token
    assert refresh_token is not None
    await change_password(house.database, house.passwords, "alice", Secret("another password"))

    with pytest.raises(RefreshTokenInvalidError):
        await house.service.answer_refresh_token(refresh_token, TokenRequest(), FACTS)
    assert house.events[-1] == LoginEvent(
        "", AuthMethod.REFRESH_TOKEN, LoginOutcome.FAILURE, FACTS, "the refresh token is not valid any more"
    )


async def test_access_token_is_no_credential_for_another_one(house: House) -> None:
    answer = await ask(house)

    with pytest.raises(CredentialsMalformedError):
        await house.service.answer_header(bearer(answer.access_token), TokenRequest(), FACTS)
    with pytest.raises(RefreshTokenInvalidError):
        await house.service.answer_refresh_token(answer.access_token, TokenRequest(), FACTS)


async def test_refresh_token_is_no_access_token_and_no_password(house: House) -> None:
    refresh_token = (await ask(house, wants_refresh_token=True)).refresh_token
    assert refresh_token is not None

    for header in (bearer(refresh_token), basic("alice", refresh_token.reveal())):
        with pytest.raises(AuthenticationError):
            await house.authenticator.authenticate(header, ADDRESS)


async def test_every_sign_in_is_recorded(house: House) -> None:
    request = TokenRequest()
    await ask(house)
    await house.service.answer_password("alice", Secret(PASSWORD), request, FACTS)
    with pytest.raises(PasswordWrongError):
        await house.service.answer_password("nobody", Secret("wrong guess"), request, FACTS)
    with pytest.raises(PasswordWrongError):
        await house.service.answer_header(basic("alice", "wrong guess"), request, FACTS)

    success, failure = LoginOutcome.SUCCESS, LoginOutcome.FAILURE
    reason = "the user name or the password is wrong"
    assert house.events == [
        LoginEvent("alice", AuthMethod.BASIC, success, FACTS),
        LoginEvent("alice", AuthMethod.PASSWORD, success, FACTS),
        LoginEvent("nobody", AuthMethod.PASSWORD, failure, FACTS, reason),
        LoginEvent("alice", AuthMethod.BASIC, failure, FACTS, reason),
    ]
    assert "guess" not in repr(house.events)


async def test_slowed_down_sign_ins_do_not_fill_the_audit(house: House) -> None:
    for _ in range(6):
        with pytest.raises(PasswordWrongError):
            await house.service.answer_header(basic("alice", "wrong"), TokenRequest(), FACTS)
    for _ in range(50):
        with pytest.raises(LoginSlowedDownError):
            await house.service.answer_header(basic("alice", "wrong"), TokenRequest(), FACTS)

    assert [event.outcome for event in house.events] == [LoginOutcome.FAILURE] * 6 + [
        LoginOutcome.SLOWED_DOWN
    ]


async def test_sign_in_that_cannot_be_recorded_gives_no_token(house: House) -> None:
    async def refuse(_event: LoginEvent) -> None:
        raise DatabaseUnavailableError("the audit is full")

    service = TokenService(house.database, house.login, house.tokens, house.refresh_tokens, refuse)
    with pytest.raises(DatabaseUnavailableError):
        await service.answer_header(basic(), TokenRequest(), FACTS)
