"""Manifests and indexes, parsed beside the bytes that were hashed (image-spec manifest.md, index.md)."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest, DigestInvalidError, parse_digest
from homeport.oci.errors import OciError, OciErrorCode

MAX_REFERENCES = 20_000


class ManifestInvalidError(OciError):
    """The bytes are no manifest that Homeport takes."""

    def __init__(self, reason: str, *, detail: object = None, hint: str = "") -> None:
        super().__init__(OciErrorCode.MANIFEST_INVALID, reason, detail=detail, hint=hint)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Content by digest (image-spec descriptor.md)."""

    media_type: str
    digest: Digest
    size_bytes: int
    urls: tuple[str, ...] = ()
    platform: dict[str, Any] | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether the content may live outside the registry."""
        return bool(self.urls) or mediatype.is_foreign_layer(self.media_type)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says; the bytes themselves are kept elsewhere, unchanged."""

    media_type: str
    artifact_type: str | None
    config: Descriptor | None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Whether this is an OCI index or a Docker manifest list."""
        return self.media_type in mediatype.INDEXES

    @property
    def referrer_type(self) -> str | None:
        """The artifactType that the referrers list shows (distribution-spec, "Listing Referrers")."""
        if self.artifact_type:
            return self.artifact_type
        return self.config.media_type if self.config is not None else None


def parse_manifest(body: bytes, content_type: str | None) -> Manifest:
    """Return what the manifest says; the content type's parameters are ignored.

    Without a content type the body's own `mediaType` decides. Raises ManifestInvalidError for JSON that is
    no object, a wrong schemaVersion, a type that Homeport does not store, a `mediaType` that differs from
    the content type, and malformed descriptors.
    """
    declared = content_type.partition(";")[0].strip().lower() if content_type else None
    if declared in mediatype.DOCKER_SCHEMA1:
        raise ManifestInvalidError(
            "Docker image manifest version 2, schema 1 is not supported",
            hint="push with a client that makes schema 2 or OCI manifests",
        )
    document = _load_object(body)
    if document.get("schemaVersion") != 2 or isinstance(document["schemaVersion"], bool):  # noqa: PLR2004 - the specification's number
        raise ManifestInvalidError("schemaVersion must be 2")
    own = _optional_text(document, "mediaType")
    media_type = declared or own
    if media_type not in mediatype.MANIFESTS:
        raise ManifestInvalidError(
            "the media type is not one of a manifest or an index",
            detail=media_type,
            hint=f"send Content-Type: {mediatype.OCI_MANIFEST}",
        )
    if own is not None and own != media_type:
        raise ManifestInvalidError(
            "mediaType in the manifest differs from the Content-Type header",
            detail={"mediaType": own, "contentType": media_type},
        )
    return _read(document, media_type)


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ManifestInvalidError(f"the manifest is not JSON: {error.msg[:200]}") from error
    if not isinstance(document, dict):
        raise ManifestInvalidError("the manifest is not a JSON object")
    return document


def _read(document: dict[str, Any], media_type: str) -> Manifest:
    subject = _optional_descriptor(document, "subject")
    artifact_type = _optional_text(document, "artifactType")
    annotations = _annotations(document)
    if media_type in mediatype.INDEXES:
        if "layers" in document or "config" in document:
            raise ManifestInvalidError("an index has no layers and no config")
        return Manifest(
            media_type=media_type,
            artifact_type=artifact_type,
            config=None,
            manifests=_descriptors(document, "manifests"),
            subject=subject,
            annotations=annotations,
        )
    if "manifests" in document or "fsLayers" in document:
        raise ManifestInvalidError("an image manifest has no manifests and no fsLayers")
    config = _optional_descriptor(document, "config")
    if config is None:
        raise ManifestInvalidError("the manifest has no config")
    return Manifest(
        media_type=media_type,
        artifact_type=artifact_type,
        config=config,
        layers=_descriptors(document, "layers"),
        subject=subject,
        annotations=annotations,
    )


def _descriptors(document: dict[str, Any], name: str) -> tuple[Descriptor, ...]:
    entries = document.get(name)
    if not isinstance(entries, list):
        raise ManifestInvalidError(f"{name} must be a list")
    if len(entries) > MAX_REFERENCES:
        raise ManifestInvalidError(f"{name} has more than {MAX_REFERENCES} entries")
    return tuple(_descriptor(entry, f"{name}[{position}]") for position, entry in enumerate(entries))


def _optional_descriptor(document: dict[str, Any], name: str) -> Descriptor | None:
    entry = document.get(name)
    return None if entry is None else _descriptor(entry, name)


def _descriptor(entry: object, where: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise ManifestInvalidError(f"{where} is not an object")
    size_bytes = entry.get("size")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or not 0 <= size_bytes < 2**63:
        raise ManifestInvalidError(f"{where}.size must be a number of bytes")
    digest_text = entry.get("digest")
    if not isinstance(digest_text, str):
        raise ManifestInvalidError(f"{where}.digest is missing")
    try:
        digest = parse_digest(digest_text)
    except DigestInvalidError as error:
        raise ManifestInvalidError(f"{where}.digest: {error}", detail=digest_text[:256]) from error
    urls = entry.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ManifestInvalidError(f"{where}.urls must be a list of texts")
    platform = entry.get("platform")
    return Descriptor(
        media_type=_optional_text(entry, "mediaType") or "",
        digest=digest,
        size_bytes=size_bytes,
        urls=tuple(urls),
        platform=platform if isinstance(platform, dict) else None,
        annotations=_annotations(entry) or None,
        artifact_type=_optional_text(entry, "artifactType"),
    )


def _optional_text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise ManifestInvalidError(f"{name} must be a text")
    if value and "\0" in value:
        raise ManifestInvalidError(f"{name} must not hold a NUL")
    return value or None


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    value = document.get("annotations")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ManifestInvalidError("annotations must map texts to texts")
    return value
