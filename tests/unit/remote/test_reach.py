import asyncio

import pytest

from homeport.remote.reach import AddressRefusedError, GuardedResolver, Reach, is_loopback, reach_of

pytestmark = pytest.mark.anyio

PUBLIC, INSIDE = Reach(may_be_private=False), Reach(may_be_private=True)


@pytest.mark.parametrize(
    ("address", "public", "inside"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("10.1.2.3", False, True),
        ("192.168.0.1", False, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
        ("no address", False, False),
    ],
)
def test_addresses(address: str, *, public: bool, inside: bool) -> None:
    assert PUBLIC.allows(address) == public
    assert INSIDE.allows(address) == inside


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("a.localhost", True), ("10.0.0.1", False)],
)
def test_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) == expected


async def test_reach_follows_the_registrys_own_address() -> None:
    loop = asyncio.get_running_loop()
    assert await reach_of("127.0.0.1", loop) == INSIDE
    assert await reach_of("8.8.8.8", loop) == PUBLIC
    assert await reach_of("does-not-resolve.invalid", loop) == PUBLIC


async def test_names_of_private_addresses_are_refused() -> None:
    with pytest.raises(AddressRefusedError):
        await GuardedResolver(PUBLIC).resolve("localhost", 80)
    assert await GuardedResolver(INSIDE).resolve("localhost", 80)
