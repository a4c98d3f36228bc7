"""What kind of artifact a manifest is, in Harbor's words, and what it is to another one."""

import re
from dataclasses import dataclass

from homeport.oci import mediatype
from homeport.oci.manifest import Manifest

UNKNOWN = "UNKNOWN"
IMAGE = "IMAGE"
CHART = "CHART"
CNAB = "CNAB"
CNAI = "CNAI"
WASM = "WASM"
SBOM = "SBOM"
SIGNATURE = "SIGNATURE"

CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)

COSIGN_SIGNATURE = "signature.cosign"
NOTATION_SIGNATURE = "signature.notation"
HARBOR_SBOM = "sbom.harbor"
NYDUS_ACCELERATOR = "accelerator.nydus"
OTHER_ACCESSORY = "subject.accessory"

_CNAB_MANIFEST = "application/vnd.cnab.manifest.v1"
_HARBOR_SBOM_TYPE = "application/vnd.goharbor.harbor.sbom.v1"
_NOTATION_TYPE = "application/vnd.cncf.notary.signature"
_COSIGN_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle."
_NYDUS_ANNOTATION = "containerd.io/snapshot/nydus-source-digest"
_WASM_ANNOTATION = "module.wasm.image/variant"

_KINDS = {
    CHART_CONFIG: CHART,
    "application/vnd.cncf.model.config.v1+json": CNAI,
    "application/vnd.cnai.model.config.v1+json": CNAI,
    "application/vnd.wasm.config.v1+json": WASM,
    "application/vnd.wasm.config.v0+json": WASM,
    _HARBOR_SBOM_TYPE: SBOM,
    "application/spdx+json": SBOM,
    "text/spdx": SBOM,
    "application/vnd.cyclonedx+json": SBOM,
    "application/vnd.cyclonedx+xml": SBOM,
    "application/vnd.syft+json": SBOM,
    _NOTATION_TYPE: SIGNATURE,
    _COSIGN_TYPE: SIGNATURE,
    **dict.fromkeys(IMAGE_CONFIGS, IMAGE),
}
# as Harbor names what it does not know: the part before ".config."
_CONFIG_TYPE = re.compile(r"application/vnd\.[^.]*\.(.*)\.config\.[^.]*\+json")
_SIGNATURE_TAG = re.compile(r"(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})\.(sig|att|sbom)")
_MAX_KIND_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Accessory:
    """What belongs to another artifact of the same repository, its subject."""

    kind: str
    subject_digest: str


def media_type_of(manifest: Manifest) -> str:
    """Return the media type that says what the artifact is: of the config, of an index its own."""
    if manifest.config is None:
        if manifest.annotations.get("org.opencontainers.artifactType") == _CNAB_MANIFEST:
            return _CNAB_MANIFEST
        return manifest.media_type
    if manifest.config.media_type == mediatype.OCI_EMPTY and manifest.artifact_type:
        return manifest.artifact_type
    return manifest.config.media_type


def kind_of(manifest: Manifest) -> str:
    """Return Harbor's type of the artifact: IMAGE, CHART, CNAB, ...; UNKNOWN for what has no telling type."""
    own = media_type_of(manifest)
    if manifest.is_index:
        return CNAB if own == _CNAB_MANIFEST else IMAGE
    if _WASM_ANNOTATION in manifest.annotations:
        return WASM
    for media_type in (manifest.artifact_type or "", own):
        if media_type in _KINDS:
            return _KINDS[media_type]
        if media_type.startswith(_BUNDLE_TYPE):
            return SIGNATURE
    found = _CONFIG_TYPE.fullmatch(own)
    return found[1].upper()[:_MAX_KIND_LENGTH] if found and found[1] else UNKNOWN


def accessory_of(manifest: Manifest, tags: tuple[str, ...]) -> Accessory | None:
    """Return what the manifest is to another one: by its subject, else by a tag of cosign's schema."""
    if manifest.subject is not None:
        return Accessory(_kind_of_accessory(manifest), str(manifest.subject.digest))
    for tag in tags:
        found = _SIGNATURE_TAG.fullmatch(tag)
        if found and len(found[2]) == (64 if found[1] == "sha256" else 128):
            kind = COSIGN_SIGNATURE if found[3] == "sig" else OTHER_ACCESSORY
            return Accessory(kind, f"{found[1]}:{found[2]}")
    return None


def _kind_of_accessory(manifest: Manifest) -> str:
    types = {manifest.artifact_type, manifest.config.media_type if manifest.config else None}
    if _NOTATION_TYPE in types:
        return NOTATION_SIGNATURE
    if _COSIGN_TYPE in types or any(text and text.startswith(_BUNDLE_TYPE) for text in types):
        return COSIGN_SIGNATURE
    if _HARBOR_SBOM_TYPE in types:
        return HARBOR_SBOM
    if any(_NYDUS_ANNOTATION in (layer.annotations or {}) for layer in manifest.layers) or (
        _NYDUS_ANNOTATION in manifest.annotations
    ):
        return NYDUS_ACCELERATOR
    return OTHER_ACCESSORY
