"""Network lists of the system and of projects, with the records of their changes."""

from collections.abc import Mapping

from sqlalchemy import Connection

from homeport.control.errors import BadRequestError, NotFoundError
from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.engine import Database
from homeport.db.network_rules import (
    StoredNetworkRule,
    add_network_rule,
    delete_network_rule,
    list_network_rules,
)
from homeport.rules.network import (
    Network,
    NetworkInvalidError,
    NetworkOperation,
    NetworkRules,
    is_admitted,
    parse_network,
)
from homeport.rules.permissions import ProjectFacts

_MAX_RULES = 1000


class NetworkLists:
    """Changes the lists; the caller has checked the right to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, project: ProjectFacts | None) -> list[StoredNetworkRule]:
        """Return the rules of the project, or of the system."""
        return await self._database.read(list_network_rules, project.id if project else None)

    async def add(
        self, actor: Actor, project: ProjectFacts | None, operation: NetworkOperation, text: str
    ) -> int:
        """Add a network and return the rule's id.

        Raises BadRequestError for what is no network, and when a list for management would shut out the
        address that the request itself comes from.
        """
        try:
            network = parse_network(text)
        except NetworkInvalidError as error:
            raise BadRequestError(str(error), hint=error.hint) from error
        return await self._database.write(_add, actor, project, operation, network)

    async def remove(self, actor: Actor, project: ProjectFacts | None, rule_id: int) -> None:
        """Take a network out of its list. Raises NotFoundError."""
        await self._database.write(_remove, actor, project, rule_id)


def _add(
    connection: Connection,
    actor: Actor,
    project: ProjectFacts | None,
    operation: NetworkOperation,
    network: Network,
) -> int:
    project_id = project.id if project else None
    rules = list_network_rules(connection, project_id)
    if len(rules) >= _MAX_RULES:
        raise BadRequestError(f"a list has at most {_MAX_RULES} networks")
    same = tuple(parse_network(rule.network) for rule in rules if rule.operation == operation.value)
    if operation is NetworkOperation.MANAGEMENT and project is None:
        after = NetworkRules(system={operation: (*same, network)})
        if not is_admitted(after, operation, actor.client_address):
            raise BadRequestError(
                f"the list would shut out {actor.client_address}, where this request comes from",
                hint="add a network that holds your own address first",
            )
    rule_id = add_network_rule(connection, project_id, operation, network)
    _record(connection, actor, project, {"added": {"operation": operation.value, "network": str(network)}})
    return rule_id


def _remove(connection: Connection, actor: Actor, project: ProjectFacts | None, rule_id: int) -> None:
    removed = delete_network_rule(connection, project.id if project else None, rule_id)
    if removed is None:
        raise NotFoundError(f"there is no network rule {rule_id} here")
    change = {"removed": {"operation": removed.operation, "network": removed.network}}
    _record(connection, actor, project, change)


def _record(
    connection: Connection,
    actor: Actor,
    project: ProjectFacts | None,
    change: Mapping[str, Mapping[str, object]],
) -> None:
    operation = "update_configuration" if project is None else "update_project"
    target = Target(reference="network-rules", project=project.name if project else None)
    record = actor.record(operation, target, before=change.get("removed"), after=change.get("added"))
    add_records(connection, [record])
