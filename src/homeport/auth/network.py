"""Holds requests against the network lists as they are now."""

from homeport.db.engine import Database
from homeport.db.network_rules import read_network_rules
from homeport.rules.network import NetworkOperation, NetworkRules, is_admitted


class NetworkGuard:
    """Knows the lists for as long as nothing of them changed in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None
        self._rules = NetworkRules()

    async def admits(self, operation: NetworkOperation, address: str, project_id: int | None = None) -> bool:
        """Tell whether a request from the address may do this."""
        version = await self._database.access_version()
        if version != self._version:
            self._rules = await self._database.read(read_network_rules)
            self._version = version
        return is_admitted(self._rules, operation, address, project_id)
