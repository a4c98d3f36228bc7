"""Where blobs can be mounted from: repositories of a registry that are known to have them."""

from collections.abc import Iterable, Mapping

from homeport.oci.digest import Digest
from homeport.remote.endpoint import ImageDestination, ImageSource
from homeport.remote.repository import RegistryRepository

MAX_REMEMBERED = 200_000


class BlobOrigins:
    """Remembers in which repositories of which registry this run has seen blobs; bounded."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Digest], str] = {}

    def add(self, destination: ImageDestination, digest: Digest) -> None:
        """Note that the destination has the blob."""
        if isinstance(destination, RegistryRepository) and len(self._known) < MAX_REMEMBERED:
            self._known.setdefault((destination.registry.name, digest), destination.name)

    def find(
        self, source: ImageSource, destination: ImageDestination, digests: Iterable[Digest]
    ) -> Mapping[Digest, str]:
        """Return, for each blob that can be mounted into the destination, the repository to mount it from.

        The source itself serves when it is another repository of the same registry.
        """
        if not isinstance(destination, RegistryRepository):
            return {}
        registry = destination.registry.name
        default = None
        if isinstance(source, RegistryRepository) and source.registry.name == registry:
            default = source.name
        found = {}
        for digest in digests:
            origin = self._known.get((registry, digest), default)
            if origin is not None and origin != destination.name:
                found[digest] = origin
        return found
