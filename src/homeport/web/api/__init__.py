"""Everything over HTTP but /v2: the token service, Harbor's API, health and metrics."""
