import base64
from datetime import timedelta

import pytest
from tests.unit.auth.house import ADDRESS, PASSWORD, SERVICE, TTL, House, basic, bearer

from homeport.auth.access_tokens import TokenSubject
from homeport.auth.accounts import account_of
from homeport.auth.authentication import (
    MAX_HEADER_BYTES,
    UNAUTHENTICATED,
    Authentication,
    parse_basic_credentials,
)
from homeport.auth.bootstrap import change_password
from homeport.auth.errors import (
    AuthenticationError,
    CredentialsMalformedError,
    LoginSlowedDownError,
    PasswordWrongError,
    TokenInvalidError,
)
from homeport.auth.grants import Grants
from homeport.auth.secret import Secret
from homeport.db.users import delete_user
from homeport.rules.permissions import ANONYMOUS, AuthMethod, RepositoryAction

pytestmark = pytest.mark.anyio

GRANTS = Grants({"library/nginx": frozenset({RepositoryAction.PULL})}, may_list_catalog=True)


async def token_for_alice(house: House) -> bytes:
    account = account_of(await house.add_user())
    subject = TokenSubject(account.username, account.user_id, account.password_fingerprint)
    text, _token = await house.tokens.issue(subject, GRANTS)
    return bearer(text)


async def test_bearer_token_brings_its_account_and_scopes(house: House) -> None:
    header = await token_for_alice(house)

    authentication = await house.authenticator.authenticate(header, ADDRESS)

    principal = authentication.principal
    assert (principal.name, principal.auth_method) == ("alice", AuthMethod.BEARER)
    assert authentication.scopes == GRANTS.repositories
    assert authentication.may_list_catalog


async def test_basic_credentials_bring_their_account_without_limits(house: House) -> None:
    user = await house.add_user(is_sysadmin=True)

    authentication = await house.authenticator.authenticate(basic(), ADDRESS)

    assert authentication == Authentication(account_of(user).as_principal(AuthMethod.BASIC))
    assert (authentication.scopes, authentication.may_list_catalog) == (None, True)


async def test_anonymous_token_is_anonymous_with_scopes(house: House) -> None:
    text, _token = await house.tokens.issue(TokenSubject("", None, ""), GRANTS)

    authentication = await house.authenticator.authenticate(bearer(text), ADDRESS)

    assert authentication.principal is ANONYMOUS
    assert authentication.scopes == GRANTS.repositories


@pytest.mark.parametrize("header", [None, b"Basic Og==", b"basic  Og=="])
async def test_request_without_credentials_is_anonymous(sqlite_house: House, header: bytes | None) -> None:
    assert await sqlite_house.authenticator.authenticate(header, ADDRESS) == UNAUTHENTICATED
    assert await sqlite_house.recall(header) == UNAUTHENTICATED


async def test_scheme_is_read_in_any_case(house: House) -> None:
    header = await token_for_alice(house)
    for scheme in (b"bearer", b"BEARER", b"Bearer"):
        changed = scheme + header.removeprefix(b"Bearer")
        assert (await house.authenticator.authenticate(changed, ADDRESS)).principal.name == "alice"


async def test_believed_header_is_answered_from_memory(house: House) -> None:
    for header in (await token_for_alice(house), basic()):
        assert await house.recall(header) is None
        await house.authenticator.authenticate(header, ADDRESS)  # remembers the address: a change
        believed = await house.authenticator.authenticate(header, ADDRESS)
        assert await house.recall(header) is believed


async def test_header_that_was_refused_is_not_remembered(house: House) -> None:
    header = basic("alice", "wrong")
    with pytest.raises(PasswordWrongError):
        await house.authenticator.authenticate(header, ADDRESS)
    assert await house.recall(header) is None


async def test_believed_token_expires(house: House) -> None:
    header = await token_for_alice(house)
    await house.authenticator.authenticate(header, ADDRESS)

    house.clock.turn(TTL + timedelta(minutes=1))

    assert await house.recall(header) is None
    with pytest.raises(TokenInvalidError):
        await house.authenticator.authenticate(header, ADDRESS)


async def test_changed_password_ends_tokens_and_basic_on_every_worker_at_once(
    house: House, other_house: House
) -> None:
    headers = (await token_for_alice(house), basic())
    for header in headers:
        await other_house.authenticator.authenticate(header, ADDRESS)

    await change_password(house.database, house.passwords, "alice", Secret("another password"))

    for header in headers:
        assert await other_house.recall(header) is None
        with pytest.raises(AuthenticationError):
            await other_house.authenticator.authenticate(header, ADDRESS)


async def test_deleted_user_is_refused_on_every_worker_at_once(house: House, other_house: House) -> None:
    header = await token_for_alice(house)
    authentication = await other_house.authenticator.authenticate(header, ADDRESS)

    await house.database.write(delete_user, authentication.principal.user_id or 0)

    assert await other_house.recall(header) is None
    with pytest.raises(TokenInvalidError, match="deleted"):
        await other_house.authenticator.authenticate(header, ADDRESS)


async def test_token_of_a_deleted_user_does_not_pass_to_the_next_of_that_name(house: House) -> None:
    header = await token_for_alice(house)
    authentication = await house.authenticator.authenticate(header, ADDRESS)
    await house.database.write(delete_user, authentication.principal.user_id or 0)
    await house.add_user()

    with pytest.raises(TokenInvalidError):
        await house.authenticator.authenticate(header, ADDRESS)


async def test_change_of_another_row_keeps_everyone_signed_in(house: House, other_house: House) -> None:
    header = await token_for_alice(house)
    before = await other_house.authenticator.authenticate(header, ADDRESS)

    await house.add_user("bob")

    assert await other_house.recall(header) is None
    assert await other_house.authenticator.authenticate(header, ADDRESS) == before
    assert await other_house.recall(header) == before


async def test_basic_credentials_are_slowed_down_after_failures(house: House) -> None:
    await house.add_user()
    for _ in range(6):
        with pytest.raises(PasswordWrongError):
            await house.authenticator.authenticate(basic(password="wrong"), ADDRESS)
    with pytest.raises(LoginSlowedDownError):
        await house.authenticator.authenticate(basic(), ADDRESS)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic YWxpY2U=",
        b"Basic YWxpY2U6cGFzc3dvcmQ",
        b"Basic /zr/",
        b"Basic Og== Og==",
        b"Digest username=alice",
        b"\xff\xfe",
        b"Negotiate",
        b"Bearer " + b"x" * MAX_HEADER_BYTES,
        b"Basic " + base64.b64encode(b"a\0b:password"),
    ],
)
async def test_malformed_header_is_refused(sqlite_house: House, header: bytes) -> None:
    with pytest.raises(CredentialsMalformedError):
        await sqlite_house.authenticator.authenticate(header, ADDRESS)


@pytest.mark.parametrize("header", [b"Bearer", b"Bearer ", b"Bearer null", b"Bearer Og==", b"Bearer \xff"])
async def test_malformed_token_is_refused(sqlite_house: House, header: bytes) -> None:
    with pytest.raises(TokenInvalidError):
        await sqlite_house.authenticator.authenticate(header, ADDRESS)


async def test_errors_show_no_credentials(house: House) -> None:
    for header in (basic("alice", "secret-guess"), b"Bearer secret-guess", b"Basic secret-guess"):
        with pytest.raises(AuthenticationError) as caught:
            await house.authenticator.authenticate(header, ADDRESS)
        assert "secret-guess" not in f"{caught.value} {caught.value.hint} {caught.value.detail}"
        assert header.split()[1].decode() not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "username", "password"),
    [
        ("alice:secret", "alice", "secret"),
        ("alice:a:b:", "alice", "a:b:"),
        ("älice:pässword", "älice", "pässword"),
        (":", "", ""),
        ("alice:", "alice", ""),
    ],
)
def test_basic_credentials_are_split_at_the_first_colon(text: str, username: str, password: str) -> None:
    assert parse_basic_credentials(base64.b64encode(text.encode())) == (username, Secret(password))


async def test_service_is_the_tokens_audience(house: House) -> None:
    assert house.authenticator.service == SERVICE
    assert PASSWORD not in repr(house.authenticator)
