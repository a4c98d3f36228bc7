"""The lists of networks that requests may come from."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select

from homeport.db.schema import network_rule
from homeport.rules.network import Network, NetworkOperation, NetworkRules, parse_network


@dataclass(frozen=True, slots=True)
class StoredNetworkRule:
    """One network of a list; without a project it is of the whole system."""

    id: int
    project_id: int | None
    operation: str
    network: str
    created_at: datetime


_ALL = select(
    network_rule.c.id,
    network_rule.c.project_id,
    network_rule.c.operation,
    network_rule.c.network,
    network_rule.c.created_at,
).order_by(network_rule.c.id)


def list_network_rules(connection: Connection, project_id: int | None) -> list[StoredNetworkRule]:
    """Return the rules of the project, or those of the system when it is None."""
    wanted = (
        network_rule.c.project_id.is_(None) if project_id is None else network_rule.c.project_id == project_id
    )
    return [StoredNetworkRule(*row) for row in connection.execute(_ALL.where(wanted))]


def add_network_rule(
    connection: Connection, project_id: int | None, operation: NetworkOperation, network: Network
) -> int:
    """Add a network to a list and return the rule's id."""
    key = connection.execute(
        insert(network_rule).values(
            project_id=project_id,
            operation=operation.value,
            network=str(network),
            created_at=datetime.now(UTC),
        )
    ).inserted_primary_key
    return int(key[0]) if key is not None else 0


def delete_network_rule(
    connection: Connection, project_id: int | None, rule_id: int
) -> StoredNetworkRule | None:
    """Delete a rule of the project (of the system when None) and return it, or None if there is none."""
    found = next((rule for rule in list_network_rules(connection, project_id) if rule.id == rule_id), None)
    if found is not None:
        connection.execute(delete(network_rule).where(network_rule.c.id == rule_id))
    return found


def read_network_rules(connection: Connection) -> NetworkRules:
    """Return all lists, ready to decide with."""
    system: dict[NetworkOperation, tuple[Network, ...]] = {}
    projects: dict[int, dict[NetworkOperation, tuple[Network, ...]]] = {}
    for row in connection.execute(_ALL):
        rule = StoredNetworkRule(*row)
        lists = system if rule.project_id is None else projects.setdefault(rule.project_id, {})
        operation = NetworkOperation(rule.operation)
        lists[operation] = (*lists.get(operation, ()), parse_network(rule.network))
    return NetworkRules(system, projects)
