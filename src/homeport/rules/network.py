"""From which networks a request may come: lists per operation, of the system and of each project."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from homeport.errors import HomeportError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NetworkOperation(StrEnum):
    """What a list is for: pulls, pushes (and deletes), and the control plane."""

    PULL = "pull"
    PUSH = "push"
    MANAGEMENT = "management"


class NetworkInvalidError(HomeportError):
    """The text is no network."""


NetworkLists = Mapping[NetworkOperation, tuple[Network, ...]]


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """All lists; an operation without a list is admitted from everywhere."""

    system: NetworkLists = field(default_factory=dict)
    projects: Mapping[int, NetworkLists] = field(default_factory=dict)


def parse_network(text: str) -> Network:
    """Return the network of `10.0.0.0/8`, `2001:db8::/32` or a single address. Raises NetworkInvalidError."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise NetworkInvalidError(
            f"{text!r} is no network: {error}", hint="write 10.1.0.0/16, 2001:db8::/32 or one address"
        ) from None


def is_admitted(
    rules: NetworkRules, operation: NetworkOperation, address: str, project_id: int | None = None
) -> bool:
    """Tell whether a request from the address may do this, in the project if one is given.

    The system's list and the project's list must both hold the address, where there are such lists. An
    address that cannot be read is in no list.
    """
    lists = [rules.system.get(operation, ())]
    if project_id is not None:
        lists.append(rules.projects.get(project_id, {}).get(operation, ()))
    wanted = [networks for networks in lists if networks]
    if not wanted:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    seen = mapped or parsed
    return all(any(seen in network for network in networks) for networks in wanted)
