"""Types of artifacts and accessories from what manifests say."""

import json
from typing import Any

import pytest

from homeport.oci.manifest import Manifest, parse_manifest
from homeport.rules.artifact_icon import ICONS, icon_of, icon_of_accessory
from homeport.rules.artifact_type import accessory_of, kind_of, media_type_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
HEX = "a" * 64


def described(media_type: str, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{HEX}", "size": 2, **more}


def manifest_of(config_type: str, **more: object) -> Manifest:
    document = {"schemaVersion": 2, "config": described(config_type), "layers": [], **more}
    return parse_manifest(json.dumps(document).encode(), MANIFEST)


def index_of(**more: object) -> Manifest:
    return parse_manifest(json.dumps({"schemaVersion": 2, "manifests": [], **more}).encode(), INDEX)


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        (manifest_of("application/vnd.oci.image.config.v1+json"), "IMAGE"),
        (manifest_of("application/vnd.docker.container.image.v1+json"), "IMAGE"),
        (manifest_of("application/vnd.cncf.helm.config.v1+json"), "CHART"),
        (manifest_of("application/vnd.wasm.config.v1+json"), "WASM"),
        (
            manifest_of(
                "application/vnd.oci.image.config.v1+json",
                annotations={"module.wasm.image/variant": "compat"},
            ),
            "WASM",
        ),
        (manifest_of("application/vnd.cnai.model.config.v1+json"), "CNAI"),
        (manifest_of("application/vnd.goharbor.harbor.sbom.v1"), "SBOM"),
        (manifest_of(EMPTY, artifactType="application/spdx+json"), "SBOM"),
        (manifest_of(EMPTY, artifactType="application/vnd.cncf.notary.signature"), "SIGNATURE"),
        (manifest_of(EMPTY, artifactType="application/vnd.dev.sigstore.bundle.v0.3+json"), "SIGNATURE"),
        (manifest_of("application/vnd.example.thing.config.v1+json"), "THING"),
        (manifest_of("application/vnd.example.a.b.config.v1+json"), "A.B"),
        (manifest_of("application/octet-stream"), "UNKNOWN"),
        (manifest_of(""), "UNKNOWN"),
        (index_of(), "IMAGE"),
        (
            index_of(annotations={"org.opencontainers.artifactType": "application/vnd.cnab.manifest.v1"}),
            "CNAB",
        ),
    ],
)
def test_kind_of_a_manifest(manifest: Manifest, kind: str) -> None:
    assert kind_of(manifest) == kind


def test_media_type_of_an_empty_config_is_the_artifact_type() -> None:
    assert media_type_of(manifest_of(EMPTY, artifactType="text/x")) == "text/x"
    assert media_type_of(manifest_of("text/config", artifactType="text/x")) == "text/config"
    assert media_type_of(index_of()) == INDEX


SUBJECT = described(MANIFEST)


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        (manifest_of(EMPTY, artifactType="application/vnd.cncf.notary.signature"), "signature.notation"),
        (manifest_of("application/vnd.cncf.notary.signature"), "signature.notation"),
        (
            manifest_of(EMPTY, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json"),
            "signature.cosign",
        ),
        (
            manifest_of(EMPTY, artifactType="application/vnd.dev.sigstore.bundle.v0.3+json"),
            "signature.cosign",
        ),
        (manifest_of("application/vnd.goharbor.harbor.sbom.v1"), "sbom.harbor"),
        (
            manifest_of("text/x", annotations={"containerd.io/snapshot/nydus-source-digest": "x"}),
            "accelerator.nydus",
        ),
        (manifest_of(EMPTY, artifactType="text/x"), "subject.accessory"),
    ],
)
def test_kind_of_an_accessory(manifest: Manifest, kind: str) -> None:
    with_subject = Manifest(
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        config=manifest.config,
        layers=manifest.layers,
        subject=parse_manifest(
            json.dumps({"schemaVersion": 2, "manifests": [SUBJECT]}).encode(), INDEX
        ).manifests[0],
        annotations=manifest.annotations,
    )

    found = accessory_of(with_subject, ())

    assert found is not None
    assert (found.kind, found.subject_digest) == (kind, f"sha256:{HEX}")
    assert accessory_of(manifest, ()) is None


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (f"sha256-{HEX}.sig", "signature.cosign"),
        (f"sha256-{HEX}.att", "subject.accessory"),
        (f"sha256-{HEX}.sbom", "subject.accessory"),
        (f"sha256-{HEX}", None),
        (f"sha512-{HEX}.sig", None),
        (f"sha256-{HEX[1:]}.sig", None),
        (f"x-sha256-{HEX}.sig", None),
    ],
)
def test_accessory_by_tag(tag: str, kind: str | None) -> None:
    found = accessory_of(manifest_of("application/vnd.oci.image.config.v1+json"), ("latest", tag))

    assert (found.kind if found else None) == kind
    assert found is None or found.subject_digest == f"sha256:{HEX}"


def test_every_kind_has_an_icon() -> None:
    kinds = ("IMAGE", "CHART", "CNAB", "CNAI", "WASM", "SBOM", "SIGNATURE", "UNKNOWN")

    assert {icon_of(kind) for kind in kinds} == set(ICONS)
    assert icon_of("THING") == icon_of("UNKNOWN")
    assert icon_of_accessory("sbom.harbor") == icon_of("SBOM")
    assert icon_of_accessory("signature.cosign") == icon_of("SIGNATURE")
