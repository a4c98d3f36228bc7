from datetime import timedelta

import pytest
from tests.unit.auth.house import ADDRESS, PASSWORD, House

from homeport.auth.accounts import account_of
from homeport.auth.cleaning import Cleaned, delete_outlived
from homeport.auth.errors import PasswordWrongError
from homeport.auth.refresh_tokens import LIFETIME
from homeport.auth.secret import Secret
from homeport.auth.signing_keys import VERIFIES_AFTER_RETIREMENT

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


async def test_cleaning_deletes_what_nobody_can_use_and_nothing_else(house: House) -> None:
    user = await house.add_user()
    await house.keys.signing_key()
    await house.keys.rotate()
    await house.refresh_tokens.issue(account_of(user), "docker")
    await house.login.sign_in("alice", Secret(PASSWORD), ADDRESS)
    with pytest.raises(PasswordWrongError):
        await house.login.sign_in("nobody", Secret("wrong guess"), "192.0.2.9")
    start = house.clock()

    async def clean(after: timedelta) -> Cleaned:
        return await delete_outlived(house.database, start + after)

    assert await clean(timedelta(0)) == Cleaned(0, 0, 0, 0)
    assert await clean(timedelta(hours=1) + SECOND) == Cleaned(3, 0, 0, 0)
    assert await clean(VERIFIES_AFTER_RETIREMENT + SECOND) == Cleaned(0, 0, 0, 1)
    assert await clean(LIFETIME + SECOND) == Cleaned(0, 1, 1, 0)
    assert await clean(timedelta(days=3650)) == Cleaned(0, 0, 0, 0)
    assert (await house.keys.signing_key()).kid
