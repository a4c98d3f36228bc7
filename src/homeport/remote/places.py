"""Opening places by their location: registries (connected once per run), layouts and archives."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from platform import machine
from typing import Self

from homeport.oci.digest import Digest
from homeport.oci.platform import Platform, parse_platform
from homeport.oci.reference import DEFAULT_TAG, ImageReference
from homeport.remote.archive import full_name, open_archive
from homeport.remote.archive_writer import create_archive
from homeport.remote.authorization import FindCredentials
from homeport.remote.credentials import AuthFiles, Credentials
from homeport.remote.endpoint import ImageDestination, ImageSource
from homeport.remote.layout import open_layout
from homeport.remote.location import ArchiveLocation, LayoutLocation, Location, RegistryLocation
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

    async def repository(self, image: ImageReference, *, for_writing: bool = False) -> RegistryRepository:
        """Return the repository of the image; nothing is sent yet."""
        registry = self._open.get(image.registry)
        if registry is None:
            registry = Registry(image.registry, self._finder(image.registry), self._options.registry)
            await self._stack.enter_async_context(registry)
            self._open[image.registry] = registry
        return RegistryRepository(registry, image.repository, for_writing=for_writing)

    def _finder(self, registry: str) -> FindCredentials:
        async def find(repository: str) -> Credentials | None:
            if self._options.credentials is not None:
                return self._options.credentials
            return await self._options.auth_files.find(registry, repository)

        return find


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source and the name of the image in it."""

    place: ImageSource
    reference: str | Digest


@dataclass(frozen=True, slots=True)
class OpenDestination:
    """A destination and the name to give the image there: a tag (see CopyRequest), or only a digest."""

    place: ImageDestination
    tag: str | None
    digest: Digest | None


@asynccontextmanager
async def open_source(location: Location, registries: Registries) -> AsyncIterator[OpenSource]:
    """Open the place of an image for reading."""
    match location:
        case RegistryLocation(image):
            reference = image.digest or image.tag or DEFAULT_TAG
            yield OpenSource(await registries.repository(image), reference)
        case LayoutLocation(directory, name, digest):
            yield OpenSource(await open_layout(directory, for_writing=False), digest or name)
        case ArchiveLocation(file, name):
            async with open_archive(file) as archive:
                yield OpenSource(archive, name)


@asynccontextmanager
async def open_destination(
    location: Location, registries: Registries, *, default_name: str = ""
) -> AsyncIterator[OpenDestination]:
    """Open the place for an image for writing.

    An archive that gives no name takes the default one (`host/name:tag`), so that `docker load` names it.
    """
    match location:
        case RegistryLocation(image):
            has_name = image.tag is not None or image.digest is not None
            tag = image.tag if has_name else DEFAULT_TAG
            repository = await registries.repository(image, for_writing=True)
            yield OpenDestination(repository, tag, image.digest)
        case LayoutLocation(directory, name, digest):
            yield OpenDestination(await open_layout(directory, for_writing=True), name, digest)
        case ArchiveLocation(file, name):
            async with create_archive(file, this_platform()) as archive:
                yield OpenDestination(archive, full_name(name) if name else default_name, None)


def name_of(location: Location) -> str:
    """Return the name (`host/name:tag`) of an image that is named by a tag, else an empty text."""
    match location:
        case RegistryLocation(image) if image.digest is None or image.tag is not None:
            return f"{image.registry}/{image.repository}:{image.tag or DEFAULT_TAG}"
        case ArchiveLocation(_, name) if name:
            return full_name(name)
        case _:
            return ""


def this_platform() -> Platform:
    """Return the platform of containers on this machine."""
    return parse_platform(f"linux/{machine()}")
