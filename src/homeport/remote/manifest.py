"""Manifests as they are copied: the exact bytes that were hashed, beside what they say."""

import contextlib
from dataclasses import dataclass

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor, Manifest, ManifestInvalidError, parse_manifest
from homeport.remote.errors import ContentMismatchError, ProtocolError

MAX_MANIFEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ManifestContent:
    """A manifest's exact bytes beside what they say."""

    digest: Digest
    media_type: str
    body: bytes
    manifest: Manifest

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor that names these bytes."""
        return Descriptor(self.media_type, self.digest, len(self.body))

    def blobs(self) -> tuple[Descriptor, ...]:
        """Return the blobs that the manifest needs, each digest once, in its order.

        Layers that live outside the registry by their type are left out; the children of an index that
        are no manifests count as blobs (build caches).
        """
        manifest = self.manifest
        config = () if manifest.config is None else (manifest.config,)
        odd_children = tuple(child for child in manifest.manifests if not is_manifest(child))
        found = {
            blob.digest: blob
            for blob in (*config, *manifest.layers, *odd_children)
            if not mediatype.is_foreign_layer(blob.media_type)
        }
        return tuple(found.values())

    def children(self) -> tuple[Descriptor, ...]:
        """Return the manifests that an index holds, each digest once, in its order."""
        children = {child.digest: child for child in self.manifest.manifests if is_manifest(child)}
        return tuple(children.values())


def is_manifest(child: Descriptor) -> bool:
    """Tell whether a child of an index is a manifest; one without a media type counts as one."""
    return not child.media_type or child.media_type in mediatype.MANIFESTS | mediatype.DOCKER_SCHEMA1


def read_manifest(
    where: str, body: bytes, media_type: str | None, expected: Digest | None
) -> ManifestContent:
    """Return the manifest in these bytes, its digest computed from them.

    Without a media type, or with a vague one, the bytes decide. Raises ContentMismatchError when the digest
    is not the expected one and ProtocolError for bytes that are no manifest.
    """
    if media_type is None or is_vague(media_type):
        media_type = guess_media_type(body)
    digest = Digest.of(body, expected.algorithm if expected is not None else "sha256")
    if expected is not None and digest != expected:
        raise ContentMismatchError(where, expected, f"the manifest has the digest {digest}")
    try:
        manifest = parse_manifest(body, media_type)
    except ManifestInvalidError as error:
        raise ProtocolError(f"{where} has an unusable manifest: {error}", hint=error.hint) from error
    return ManifestContent(digest, manifest.media_type, body, manifest)


def is_vague(media_type: str) -> bool:
    """Tell whether a media type says nothing about which kind of manifest it is."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence in {"", "application/json", mediatype.OCTET_STREAM, "text/plain"}


def guess_media_type(body: bytes) -> str | None:
    """Return what the bytes say that they are; by their members for OCI manifests without `mediaType`."""
    with contextlib.suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
        if isinstance(document, dict) and not document.get("mediaType"):
            if "manifests" in document:
                return mediatype.OCI_INDEX
            if "config" in document and "layers" in document:
                return mediatype.OCI_MANIFEST
    return None
