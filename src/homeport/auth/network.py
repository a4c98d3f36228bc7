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

    async def rules(self, access_version: int) -> NetworkRules:
        """Return the lists; the caller has just read the database's access version."""
        if access_version != self._version:
            self._rules = await self._database.read(read_network_rules)
            self._version = access_version
        return self._rules

    async def admits(self, operation: NetworkOperation, address: str) -> bool:
        """Tell whether a request from the address may do this to the system."""
        rules = await self.rules(await self._database.access_version())
        return is_admitted(rules, operation, address)
