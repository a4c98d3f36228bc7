from datetime import UTC, datetime

import pytest
from tests.unit.auth.house import House

from homeport.auth.accounts import Account, Accounts, is_username
from homeport.auth.passwords import password_fingerprint
from homeport.db.users import change_password_hash, delete_user
from homeport.rules.permissions import AuthMethod, Principal, PrincipalKind

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def test_account_has_the_facts_of_its_row(house: House) -> None:
    user = await house.add_user(is_sysadmin=True)

    account = await house.accounts.find(user.id)

    assert account == Account(
        user.id, "alice", is_sysadmin=True, password_fingerprint=password_fingerprint(user.password_hash)
    )
    assert account.as_principal(AuthMethod.BASIC) == Principal(
        "alice", PrincipalKind.USER, user.id, is_sysadmin=True, auth_method=AuthMethod.BASIC
    )
    assert await house.accounts.find(user.id + 1) is None


async def test_account_is_read_once_while_nothing_changes(house: House) -> None:
    user = await house.add_user()
    reads = 0

    class CountingDatabase:
        async def access_version(self) -> int:
            return 1

        async def read(self, statement: object, *args: object) -> object:
            nonlocal reads
            reads += 1
            return await house.database.read(statement, *args)  # type: ignore[arg-type]

    accounts = Accounts(CountingDatabase())  # type: ignore[arg-type]
    assert {await accounts.find(user.id) for _ in range(5)} == {await house.accounts.find(user.id)}
    assert await accounts.find(77) is await accounts.find(77) is None
    assert reads == 2


async def test_account_that_another_process_changes_is_read_again(house: House, other_house: House) -> None:
    user = await house.add_user()
    before = await other_house.accounts.find(user.id)

    await house.database.write(change_password_hash, user.id, "new hash", NOW)
    after = await other_house.accounts.find(user.id)
    await house.database.write(delete_user, user.id)

    assert before is not None
    assert after is not None
    assert before.password_fingerprint != after.password_fingerprint == password_fingerprint("new hash")
    assert await other_house.accounts.find(user.id) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice", True),
        ("robot$project+name", True),
        ("Ängström", True),
        ("a b", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("", False),
        ("a:b", False),
        ("a\0b", False),
        ("a\nb", False),
        ("a\x1bb", False),
        ("a\u202eb", False),
        ("a\ud800b", False),
    ],
)
def test_username_is_printable_and_of_bounded_length(text: str, expected: bool) -> None:  # noqa: FBT001 - a table
    assert is_username(text) is expected
