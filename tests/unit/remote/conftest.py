"""A hostile registry, and clients that do not wait long."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.remote.hostile import HostileRegistry, run_registry

from homeport.oci.reference import ImageReference
from homeport.remote.places import PlaceOptions, Registries
from homeport.remote.registry import RegistryOptions
from homeport.remote.repository import RegistryRepository
from homeport.remote.retry import RetryPolicy
from homeport.remote.transport import Timeouts

QUICK = RegistryOptions(
    timeouts=Timeouts(connect_s=2, idle_s=2, call_s=5, commit_s=5),
    retry=RetryPolicy(attempts=4, base_s=0.01, max_s=0.02, max_retry_after_s=1),
)


@pytest.fixture
async def hostile() -> AsyncIterator[HostileRegistry]:
    """Run a registry that misbehaves on command."""
    async with run_registry() as registry:
        yield registry


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    """Return clients without credentials that give up soon."""
    async with Registries(PlaceOptions(registry=QUICK)) as opened:
        yield opened


@pytest.fixture
async def repository(hostile: HostileRegistry, registries: Registries) -> RegistryRepository:
    """Return the repository `a/image` of the hostile registry."""
    return await registries.repository(ImageReference(hostile.host, "a/image"))
