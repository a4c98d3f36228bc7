import asyncio
import time

import argon2
import pytest

from homeport.auth.passwords import (
    LANES,
    MEMORY_KIB,
    PASSES,
    PasswordChecksBusyError,
    Passwords,
    make_password,
    password_fingerprint,
)
from homeport.auth.secret import Secret

pytestmark = pytest.mark.anyio

PASSWORD = Secret("correct horse")


async def test_password_is_right_or_wrong() -> None:
    passwords = Passwords()
    password_hash = await passwords.hash(PASSWORD)

    assert await passwords.is_right(password_hash, PASSWORD)
    assert not await passwords.is_right(password_hash, Secret("correct horsf"))
    assert not await passwords.is_right(password_hash, Secret(""))
    assert not await passwords.is_right("no hash", PASSWORD)
    assert not await passwords.is_right(None, PASSWORD)


async def test_password_hash_has_the_parameters_that_bound_its_memory() -> None:
    parameters = argon2.extract_parameters(await Passwords().hash(PASSWORD))

    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (
        MEMORY_KIB,
        PASSES,
        LANES,
    )
    assert 19 * 1024 <= parameters.memory_cost <= 46 * 1024


async def test_password_hash_of_other_parameters_is_outdated() -> None:
    passwords = Passwords()
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")

    assert passwords.is_outdated(weaker)
    assert await passwords.is_right(weaker, PASSWORD)
    assert not passwords.is_outdated(await passwords.hash(PASSWORD))


async def test_unknown_account_costs_the_work_of_a_wrong_password() -> None:
    passwords = Passwords()
    password_hash = await passwords.hash(PASSWORD)

    async def cost_s(stored: str | None) -> float:
        costs = []
        for _ in range(5):
            started = time.process_time()
            assert not await passwords.is_right(stored, Secret("wrong"))
            costs.append(time.process_time() - started)
        return min(costs)

    wrong, unknown = await cost_s(password_hash), await cost_s(None)
    assert 0.6 < unknown / wrong < 1.6


async def test_password_checks_run_two_at_a_time_and_the_queue_is_bounded() -> None:
    passwords = Passwords()
    under_way, most, refused = 0, 0, 0

    async def check() -> None:
        nonlocal under_way, most, refused
        try:
            async with passwords.turn():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0.001)
                under_way -= 1
        except PasswordChecksBusyError:
            refused += 1

    await asyncio.gather(*(check() for _ in range(200)))
    assert (most, refused) == (2, 200 - 128 - 2)
    await check()
    assert refused == 200 - 128 - 2


async def test_password_turn_that_is_cancelled_is_given_back() -> None:
    passwords = Passwords()

    async def hold() -> None:
        async with passwords.turn():
            await asyncio.sleep(60)

    holders = [asyncio.create_task(hold()) for _ in range(5)]
    await asyncio.sleep(0.01)
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)
    async with asyncio.timeout(5), passwords.turn():
        pass


async def test_passwords_that_are_closed_leave_no_thread() -> None:
    passwords = Passwords()
    await passwords.hash(PASSWORD)
    passwords.close()
    with pytest.raises(RuntimeError):
        await passwords.hash(PASSWORD)


def test_password_fingerprint_tells_hashes_apart() -> None:
    assert password_fingerprint("a") != password_fingerprint("b")
    assert len(password_fingerprint("a")) == 32


def test_made_password_is_long_and_new() -> None:
    made = {make_password().reveal() for _ in range(100)}
    assert len(made) == 100
    assert all(len(text) == 20 for text in made)
