"""A place that images come from or go to: a repository of a registry, a layout, an archive."""

from typing import Protocol

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import BlobReader, VerifiedBlob
from homeport.remote.manifest import ManifestContent


class ImageSource(BlobReader, Protocol):
    """Where images are read. Readers may be many at once."""

    async def fetch_manifest(self, reference: str | Digest) -> ManifestContent:
        """Return the manifest under this tag (or other name of the place) or digest.

        Its digest is computed from the bytes. Raises NotFoundError, ContentMismatchError, ProtocolError,
        RefusedError, TransientError.
        """

    async def list_referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """Return the manifests here whose subject is this one, in the order of the place."""


class ImageDestination(Protocol):
    """Where images are written. What is written stays when a later step fails."""

    @property
    def description(self) -> str:
        """The place in words for people, without secrets."""

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Tell whether the content is there, with the right size."""

    async def find_manifest(self, reference: str | Digest) -> Digest | None:
        """Return the digest of the manifest under this tag or digest, None when it is not there."""

    async def write_blob(self, blob: VerifiedBlob, mount_from: str | None) -> bool:
        """Make the content be there; may be repeated.

        A registry first tries to mount it from another of its repositories. Returns whether that is what
        happened; then nothing was read from the blob.
        """

    async def write_manifest(self, content: ManifestContent, tag: str | None) -> None:
        """Make these bytes be there under their digest, and under the tag if one is given; atomic.

        What the manifest names must be there before. May be repeated.
        """

    async def finish(self) -> None:
        """Make all that was written visible to readers of the place; the last call."""
