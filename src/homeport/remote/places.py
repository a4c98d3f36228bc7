"""Opening places by their location: registries (connected once per run), layouts and archives."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from homeport.oci.reference import DEFAULT_TAG, ImageReference
from homeport.remote.authorization import FindCredentials
from homeport.remote.credentials import AuthFiles, Credentials
from homeport.remote.registry import Registry, RegistryOptions
from homeport.remote.repository import RegistryRepository


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """How to reach places: `credentials` come before what the auth files say."""

    registry: RegistryOptions = field(default_factory=RegistryOptions)
    credentials: Credentials | None = None
    auth_files: AuthFiles = field(default_factory=lambda: AuthFiles(()))


class Registries:
    """The registries of one run, each connected once; close with `async with`."""

    def __init__(self, options: PlaceOptions) -> None:
        self._options = options
        self._open: dict[str, Registry] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def repository(self, image: ImageReference) -> RegistryRepository:
        """Return the repository of the image; nothing is sent yet."""
        registry = self._open.get(image.registry)
        if registry is None:
            registry = Registry(image.registry, self._finder(image.registry), self._options.registry)
            await self._stack.enter_async_context(registry)
            self._open[image.registry] = registry
        return RegistryRepository(registry, image.repository)

    def _finder(self, registry: str) -> FindCredentials:
        async def find(repository: str) -> Credentials | None:
            if self._options.credentials is not None:
                return self._options.credentials
            return await self._options.auth_files.find(registry, repository)

        return find


def destination_names(image: ImageReference) -> str | None:
    """Return the tag to write: the one given, `latest` when neither tag nor digest is, else None."""
    return image.tag if image.tag is not None or image.digest is not None else DEFAULT_TAG
