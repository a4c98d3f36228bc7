import asyncio
from datetime import timedelta

import pytest
from tests.unit.auth.house import INSTANCE_SECRET, House

from homeport.auth.errors import SealBrokenError
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.auth.signing_keys import VERIFIES_AFTER_RETIREMENT, SigningKeys
from homeport.db.engine import Database
from homeport.db.signing_keys import list_signing_keys

pytestmark = pytest.mark.anyio


async def test_signing_key_is_made_at_first_use_and_kept(house: House, other_house: House) -> None:
    await house.keys.refresh()
    assert await house.database.read(list_signing_keys) == []

    first = await house.keys.signing_key()

    assert (await house.keys.signing_key()).kid == first.kid
    assert (await other_house.keys.signing_key()).kid == first.kid
    assert len(await house.database.read(list_signing_keys)) == 1


async def test_signing_key_made_by_several_processes_at_once_is_one(
    database: Database, other_database: Database
) -> None:
    key_sets = [SigningKeys(each, Sealer(INSTANCE_SECRET)) for each in [database, other_database] * 4]

    made = await asyncio.gather(*(keys.signing_key() for keys in key_sets))

    assert len({key.kid for key in made}) == 1


async def test_private_key_is_sealed_in_the_database(house: House) -> None:
    await house.keys.signing_key()

    (stored,) = await house.database.read(list_signing_keys)
    assert b"PRIVATE" not in stored.sealed_private_key
    assert b"PRIVATE" in Sealer(INSTANCE_SECRET).unseal(
        stored.sealed_private_key, f"signing key {stored.kid}"
    )
    assert "sealed" not in repr(stored)


async def test_signing_key_under_another_instance_secret_is_an_error(house: House) -> None:
    await house.keys.signing_key()
    strangers = SigningKeys(house.database, Sealer(Secret("x" * 32)))

    with pytest.raises(SealBrokenError):
        await strangers.signing_key()
    assert len(await house.database.read(list_signing_keys)) == 1


async def test_rotated_key_signs_everywhere_and_the_old_one_still_verifies(
    house: House, other_house: House
) -> None:
    old = await other_house.keys.signing_key()
    await house.keys.refresh()

    new_kid = await house.keys.rotate()

    assert new_kid != old.kid
    assert (await house.keys.signing_key()).kid == new_kid
    assert (await other_house.keys.signing_key()).kid == new_kid
    assert house.keys.find(old.kid) is not None
    assert other_house.keys.find(old.kid) is not None


async def test_retired_key_stops_to_verify_after_every_token_has_expired(house: House) -> None:
    old = await house.keys.signing_key()
    await house.keys.rotate()

    house.clock.turn(VERIFIES_AFTER_RETIREMENT - timedelta(seconds=1))
    assert house.keys.find(old.kid) is not None
    house.clock.turn(timedelta(seconds=1))
    assert house.keys.find(old.kid) is None
    # the longest life of a token that the settings allow, and its leeway
    assert timedelta(days=1, minutes=1) < VERIFIES_AFTER_RETIREMENT


async def test_unknown_key_is_looked_for_at_most_once_a_second(house: House) -> None:
    assert await house.keys.look_again()
    assert not await house.keys.look_again()
