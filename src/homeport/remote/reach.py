"""Which addresses a registry may send us to: a public one may not point into the private network."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """The host's address is not one that this registry may send us to."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where redirects, token services and upload locations of one registry may lead."""

    may_be_private: bool

    def allows(self, address: str) -> bool:
        """Tell whether the textual IP address may be connected to."""
        ip = _parse(address)
        if ip is None or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return False
        return self.may_be_private or ip.is_global


def parse_address(host: str) -> str | None:
    """Return the host when it is an IP address, None when it is a name."""
    return host if _parse(host) is not None else None


def _parse(text: str) -> _Address | None:
    try:
        ip: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


class GuardedResolver(AbstractResolver):
    """Resolves names and leaves out every address that the reach does not allow."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses; raises AddressRefusedError when none is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if self._reach.allows(result["host"])]
        if not allowed:
            raise AddressRefusedError(f"{host} has no address outside private networks")
        return allowed

    async def close(self) -> None:
        """Release nothing: the threads belong to the event loop."""
        await self._resolver.close()


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine by its very name (localhost, 127.0.0.0/8, ::1)."""
    ip = _parse(host)
    return ip.is_loopback if ip is not None else host == "localhost" or host.endswith(".localhost")


async def reach_of(host: str, loop: Any) -> Reach:
    """Return the reach of a registry on this host: private addresses only if it has one itself.

    A name that does not resolve counts as public; a proxy then resolves it.
    """
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Reach(may_be_private=False)
    addresses = [_parse(str(entry[4][0])) for entry in found]
    return Reach(may_be_private=any(ip is not None and not ip.is_global for ip in addresses))
