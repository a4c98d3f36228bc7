import pytest

from homeport.oci import mediatype


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ],
)
def test_foreign_layer_types_are_known(media_type: str) -> None:
    assert mediatype.is_foreign_layer(media_type)


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "text/plain; application/vnd.oci.image.layer.nondistributable.v1.tar",
    ],
)
def test_other_layer_types_are_not_foreign(media_type: str) -> None:
    assert not mediatype.is_foreign_layer(media_type)


def test_manifest_types_are_images_or_indexes() -> None:
    assert mediatype.IMAGE_MANIFESTS.isdisjoint(mediatype.INDEXES)
    assert mediatype.MANIFESTS.isdisjoint(mediatype.DOCKER_SCHEMA1)
