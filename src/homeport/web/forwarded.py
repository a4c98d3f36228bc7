"""Who is the client, and under which URL does it know us: directly or behind trusted proxies."""

import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from homeport.auth.certificates import find_certificate_header

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"[A-Za-z0-9.\-_]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")

_PAIR = re.compile(r'([A-Za-z]+)=(?:"([^"]*)"|([^\s;,"]*))')
_OLDER = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})


class Forwarding:
    """Reads `X-Forwarded-For`, `-Proto` and `-Host`, but only from proxies in the trusted networks.

    Without any of them `Forwarded` (RFC 7239) is read, so that a client cannot add it to what a proxy says
    in the older headers. A fixed external URL, when one is set, wins over everything that a request says.
    """

    def __init__(self, networks: tuple[Network, ...], external_url: str) -> None:
        self._networks = networks
        self._external_url = external_url

    def client_address(self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
        """Return the client's address: the nearest one that is not a trusted proxy."""
        client = scope.get("client")
        peer: str = client[0] if client else ""
        if not self._networks or not self._is_trusted(peer):
            return peer
        for entry in reversed(_hops(headers)):
            address = entry.strip().strip("[]")
            if not _is_address(address):
                break
            peer = address
            if not self._is_trusted(address):
                break
        return peer

    def base_url(self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
        """Return scheme, host and port as the client knows them, without a slash at the end."""
        if self._external_url:
            return self._external_url
        scheme: str = scope.get("scheme", "http")
        host = headers.get(b"host", b"").decode("latin-1")
        if not host:
            # HTTP/2 carries :authority, which servers may not repeat as Host
            server = scope.get("server")
            host = f"{server[0]}:{server[1]}" if server else ""
        client = scope.get("client")
        if self._networks and client and self._is_trusted(client[0]):
            standard = _forwarded(headers)
            said = standard[0] if standard else {}
            scheme = _first(headers, b"x-forwarded-proto") or said.get("proto", "").lower() or scheme
            host = _first(headers, b"x-forwarded-host") or said.get("host") or host
        if scheme not in {"http", "https"} or not _HOST.fullmatch(host):
            return "http://localhost"
        return f"{scheme}://{host}"

    def client_certificate(
        self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]
    ) -> bytes | None:
        """Return the header in which a trusted proxy passes on the client's certificate, if it does."""
        client = scope.get("client")
        if not self._networks or not client or not self._is_trusted(client[0]):
            return None
        return find_certificate_header(headers)

    def _is_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def _first(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").split(",")[0].strip()


def _hops(headers: Mapping[bytes, bytes]) -> list[str]:
    standard = _forwarded(headers)
    if not standard:
        return headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
    return [_without_port(element.get("for", "")) for element in standard]


def _forwarded(headers: Mapping[bytes, bytes]) -> list[dict[str, str]]:
    """Return the elements of `Forwarded`, none when one of the older headers is there."""
    value = headers.get(b"forwarded")
    if value is None or not _OLDER.isdisjoint(headers):
        return []
    return [
        {name.lower(): quoted or token for name, quoted, token in _PAIR.findall(element)}
        for element in value.decode("latin-1").split(",")
    ]


def _without_port(node: str) -> str:
    address, colon, port = node.rpartition(":")
    is_ported = colon and port.isdigit() and (address.count(":") == 0 or address.endswith("]"))
    return address if is_ported else node


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
