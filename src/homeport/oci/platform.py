"""Platforms of images: `os/architecture[/variant]` (image-spec image-index.md, containerd's normal forms)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeport.errors import HomeportError
from homeport.oci.manifest import Descriptor

_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}


class PlatformInvalidError(HomeportError):
    """The text is no platform."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:100]!r} is no platform",
            hint="write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, for example linux/arm64 or linux/arm/v7",
        )


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system on an architecture, in normal form; no variant stands for any."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        text = f"{self.os}/{self.architecture}"
        return f"{text}/{self.variant}" if self.variant else text

    def accepts(self, other: "Platform") -> bool:
        """Tell whether an image for the other platform is what this one asks for."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        return not self.variant or self.variant == other.settled_variant

    @property
    def settled_variant(self) -> str:
        """The variant, or what its absence means for this architecture (arm64: v8, arm: v7)."""
        return self.variant or _DEFAULT_VARIANTS.get(self.architecture, "")

    @property
    def is_usual(self) -> bool:
        """Whether the variant is the one that its absence means."""
        return self.settled_variant == _DEFAULT_VARIANTS.get(self.architecture, "")


def parse_platform(text: str) -> Platform:
    """Return the platform that a person wrote, or raise PlatformInvalidError."""
    parts = text.split("/")
    if len(parts) not in {2, 3} or not all(_PART.fullmatch(part) for part in parts):
        raise PlatformInvalidError(text)
    return _normal(parts[0], parts[1], parts[2] if len(parts) == 3 else "")  # noqa: PLR2004 - os/arch/variant


def platform_of(fields: Mapping[str, Any] | None) -> Platform | None:
    """Return the platform in a descriptor's `platform` or an image configuration, None when it has none."""
    if fields is None:
        return None
    system, architecture, variant = fields.get("os"), fields.get("architecture"), fields.get("variant")
    if not isinstance(system, str) or not isinstance(architecture, str) or not system or not architecture:
        return None
    return _normal(system, architecture, variant if isinstance(variant, str) else "")


def choose_manifest(children: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """Return the child of an index that serves the platform, None when there is none.

    Of several, one of the usual variant wins, then the first: as container runtimes choose.
    """
    fitting = [
        (child, platform)
        for child in children
        if (platform := platform_of(child.platform)) is not None and wanted.accepts(platform)
    ]
    for child, platform in fitting:
        if platform.is_usual:
            return child
    return fitting[0][0] if fitting else None


def _normal(system: str, architecture: str, variant: str) -> Platform:
    system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
    if architecture == "armel" and not variant:
        variant = "v6"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if system == "macos":
        system = "darwin"
    if architecture == "arm64" and variant in {"8", "v8"}:
        variant = ""
    elif architecture == "arm" and variant.isdigit():
        variant = f"v{variant}"
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(system, architecture, variant)
