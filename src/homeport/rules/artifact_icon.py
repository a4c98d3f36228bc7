"""The icons of artifacts: one drawing per type, made here, known by the digest of its bytes."""

from homeport.oci.digest import Digest
from homeport.rules.artifact_type import CHART, CNAB, CNAI, HARBOR_SBOM, IMAGE, SBOM, SIGNATURE, UNKNOWN, WASM

ICON_TYPE = "image/svg+xml"

_FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64" fill="none" '
    'stroke="{color}" stroke-width="4" stroke-linejoin="round" stroke-linecap="round">{shape}</svg>'
)
_SHAPES = {
    IMAGE: ("#0b6e99", "M32 6 56 18v28L32 58 8 46V18z M8 18l24 12 24-12 M32 30v28"),
    CHART: ("#0f4a8a", "M32 14a18 18 0 1 0 .01 0z M32 4v10 M32 50v10 M8 32h6 M50 32h6"),
    CNAB: ("#7a4a9e", "M8 20h48v34H8z M8 20 16 8h32l8 12 M32 8v24 M24 32h16"),
    CNAI: ("#b3541e", "M20 20h24v24H20z M26 8v12 M38 8v12 M26 44v12 M38 44v12 M8 26h12 M8 38h12 M44 26h12"),
    WASM: ("#5a4fcf", "M8 8h16a8 8 0 0 0 16 0h16v48H8z M16 28l5 18 5-14 5 14 5-18"),
    SBOM: ("#3d7a3d", "M14 6h26l12 12v40H14z M40 6v12h12 M22 30h20 M22 40h20 M22 50h12"),
    SIGNATURE: ("#8a6d0b", "M32 6 52 14v18c0 12-8 20-20 26C20 52 12 44 12 32V14z M22 32l8 8 14-16"),
    UNKNOWN: ("#5f6b7a", "M14 6h26l12 12v40H14z M40 6v12h12"),
}
_CONTENTS = {
    kind: _FRAME.format(color=color, shape=f'<path d="{path}"/>').encode()
    for kind, (color, path) in _SHAPES.items()
}
_DIGESTS = {kind: str(Digest.of(content)) for kind, content in _CONTENTS.items()}
ICONS = {_DIGESTS[kind]: content for kind, content in _CONTENTS.items()}


def icon_of(kind: str) -> str:
    """Return the digest of the icon of an artifact's type."""
    return _DIGESTS.get(kind, _DIGESTS[UNKNOWN])


def icon_of_accessory(kind: str) -> str:
    """Return the digest of the icon of an accessory's type."""
    if kind == HARBOR_SBOM:
        return _DIGESTS[SBOM]
    return _DIGESTS[SIGNATURE if kind.startswith("signature.") else UNKNOWN]
