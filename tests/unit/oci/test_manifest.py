from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.errors import OciErrorCode
from homeport.oci.manifest import MAX_REFERENCES, Manifest, ManifestInvalidError, parse_manifest

CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'c' * 64}", "size": 7}
LAYER = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": f"sha256:{'1' * 64}",
    "size": 9,
}
CHILD = {"mediaType": mediatype.OCI_MANIFEST, "digest": f"sha256:{'2' * 64}", "size": 11}


def image(**changes: Any) -> dict[str, Any]:
    """Return an OCI image manifest with these members changed; None removes one."""
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
    return {name: value for name, value in (document | changes).items() if value is not None}


def index(**changes: Any) -> dict[str, Any]:
    """Return an OCI index with these members changed; None removes one."""
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [CHILD]}
    return {name: value for name, value in (document | changes).items() if value is not None}


def parse(document: object, content_type: str | None = mediatype.OCI_MANIFEST) -> Manifest:
    return parse_manifest(orjson.dumps(document), content_type)


def test_manifest_of_an_image_is_read() -> None:
    found = parse(image(annotations={"a": "b"}, artifactType="text/x", subject=CHILD))
    assert found.media_type == mediatype.OCI_MANIFEST
    assert found.artifact_type == "text/x"
    assert found.config is not None
    assert str(found.config.digest) == CONFIG["digest"]
    assert [(str(layer.digest), layer.size_bytes) for layer in found.layers] == [(LAYER["digest"], 9)]
    assert found.manifests == ()
    assert found.subject is not None
    assert str(found.subject.digest) == CHILD["digest"]
    assert found.annotations == {"a": "b"}
    assert not found.is_index


def test_manifest_of_an_index_is_read() -> None:
    platform = {"os": "linux", "architecture": "arm64"}
    child = CHILD | {"platform": platform, "annotations": {"a": "b"}, "artifactType": "text/x"}
    found = parse(index(manifests=[child]), mediatype.OCI_INDEX)
    assert found.is_index
    assert found.config is None
    assert found.layers == ()
    [descriptor] = found.manifests
    assert descriptor.platform == platform
    assert descriptor.annotations == {"a": "b"}
    assert descriptor.artifact_type == "text/x"


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (image(), mediatype.OCI_MANIFEST),
        (image(mediaType=None), mediatype.OCI_MANIFEST),
        (image(), None),
        (image(), ""),
        (image(), f"{mediatype.OCI_MANIFEST}; charset=utf-8"),
        (image(), f"  {mediatype.OCI_MANIFEST} ;v=1"),
        (image(mediaType=mediatype.DOCKER_MANIFEST), mediatype.DOCKER_MANIFEST),
        (image(layers=[]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"data": "aGVsbG8=", "unknown": [1]}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"mediaType": "text/plain"}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER, LAYER]), mediatype.OCI_MANIFEST),
        (image(config=CONFIG | {"mediaType": mediatype.OCI_EMPTY}), mediatype.OCI_MANIFEST),
        (image(unknown={"deep": [{}]}), mediatype.OCI_MANIFEST),
        (image(annotations={}), mediatype.OCI_MANIFEST),
        (image(artifactType=""), mediatype.OCI_MANIFEST),
        (index(), mediatype.OCI_INDEX),
        (index(manifests=[]), mediatype.OCI_INDEX),
        (index(mediaType=mediatype.DOCKER_LIST), mediatype.DOCKER_LIST),
        (index(manifests=[CHILD | {"mediaType": mediatype.OCI_INDEX}]), mediatype.OCI_INDEX),
        (
            index(manifests=[CHILD | {"mediaType": "application/vnd.buildkit.cacheconfig.v0"}]),
            mediatype.OCI_INDEX,
        ),
        (index(subject=CHILD, artifactType="text/x"), mediatype.OCI_INDEX),
    ],
)
def test_manifest_that_the_specification_allows_is_taken(
    document: dict[str, Any], content_type: str | None
) -> None:
    found = parse(document, content_type)
    assert found.media_type == (content_type or mediatype.OCI_MANIFEST).partition(";")[0].strip()


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        ([], mediatype.OCI_MANIFEST),
        ("text", mediatype.OCI_MANIFEST),
        (None, mediatype.OCI_MANIFEST),
        (7, mediatype.OCI_MANIFEST),
        ({}, mediatype.OCI_MANIFEST),
        (image(schemaVersion=None), mediatype.OCI_MANIFEST),
        (image(schemaVersion=1), mediatype.OCI_MANIFEST),
        (image(schemaVersion=3), mediatype.OCI_MANIFEST),
        (image(schemaVersion="2"), mediatype.OCI_MANIFEST),
        (image(schemaVersion=True), mediatype.OCI_MANIFEST),
        (image(mediaType=None), None),
        (image(mediaType=mediatype.OCI_INDEX), mediatype.OCI_MANIFEST),
        (image(mediaType=mediatype.DOCKER_MANIFEST), mediatype.OCI_MANIFEST),
        (image(mediaType=["a"]), mediatype.OCI_MANIFEST),
        (image(), "application/json"),
        (image(), "text/plain"),
        (image(), "*/*"),
        (image(), mediatype.OCI_INDEX),
        (image(), "application/vnd.docker.distribution.manifest.v1+json"),
        (image(), "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (image(config=None), mediatype.OCI_MANIFEST),
        (image(config=[]), mediatype.OCI_MANIFEST),
        (image(layers=None), mediatype.OCI_MANIFEST),
        (image(layers={}), mediatype.OCI_MANIFEST),
        (image(layers=["x"]), mediatype.OCI_MANIFEST),
        (image(layers=[None]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"digest": "sha256:short"}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"digest": 7}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"size": -1}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"size": "9"}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"size": True}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"size": 9.5}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"size": 2**63}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"urls": "https://a"}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"urls": [7]}]), mediatype.OCI_MANIFEST),
        (image(layers=[LAYER | {"mediaType": 7}]), mediatype.OCI_MANIFEST),
        (image(annotations=[]), mediatype.OCI_MANIFEST),
        (image(annotations={"a": 7}), mediatype.OCI_MANIFEST),
        (image(artifactType=7), mediatype.OCI_MANIFEST),
        (image(artifactType="a\0b"), mediatype.OCI_MANIFEST),
        (image(config=CONFIG | {"mediaType": "a\0b"}), mediatype.OCI_MANIFEST),
        (image(subject="x"), mediatype.OCI_MANIFEST),
        (image(subject={"size": 1}), mediatype.OCI_MANIFEST),
        (image(manifests=[]), mediatype.OCI_MANIFEST),
        (image(fsLayers=[]), mediatype.OCI_MANIFEST),
        (index(manifests=None), mediatype.OCI_INDEX),
        (index(manifests={}), mediatype.OCI_INDEX),
        (index(manifests=[{}]), mediatype.OCI_INDEX),
        (index(layers=[]), mediatype.OCI_INDEX),
        (index(config=CONFIG), mediatype.OCI_INDEX),
        (index(manifests=[CHILD] * (MAX_REFERENCES + 1)), mediatype.OCI_INDEX),
    ],
)
def test_manifest_malformed_is_refused(document: object, content_type: str | None) -> None:
    with pytest.raises(ManifestInvalidError) as caught:
        parse(document, content_type)
    assert caught.value.code is OciErrorCode.MANIFEST_INVALID


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"}",
        b"{]",
        b"\0",
        b"\xff\xfe{}",
        b'{"schemaVersion":2',
        b'{"schemaVersion":2}{}',
        b'{"schemaVersion":NaN}',
        b'{"schemaVersion":2,"annotations":{"a":"\xff"}}',
        b'{"schemaVersion":2,"annotations":{"a":"\\ud800"}}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_manifest_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ManifestInvalidError) as caught:
        parse_manifest(body, mediatype.OCI_MANIFEST)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("document", "content_type", "expected"),
    [
        (image(), mediatype.OCI_MANIFEST, CONFIG["mediaType"]),
        (image(artifactType="text/x"), mediatype.OCI_MANIFEST, "text/x"),
        (image(artifactType=""), mediatype.OCI_MANIFEST, CONFIG["mediaType"]),
        (index(), mediatype.OCI_INDEX, None),
        (index(artifactType="text/x"), mediatype.OCI_INDEX, "text/x"),
    ],
)
def test_referrer_type_follows_the_specification(
    document: dict[str, Any], content_type: str, expected: str | None
) -> None:
    assert parse(document, content_type).referrer_type == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"urls": []}, False),
        ({"urls": ["https://example.com/layer"]}, True),
        ({"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}, True),
        ({"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}, True),
    ],
)
def test_layer_that_may_live_elsewhere_is_foreign(changes: dict[str, Any], *, expected: bool) -> None:
    [layer] = parse(image(layers=[LAYER | changes])).layers
    assert layer.is_foreign == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(f"sha256:{'a' * 64}"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schemaVersion",
                    "mediaType",
                    "config",
                    "layers",
                    "manifests",
                    "subject",
                    "digest",
                    "size",
                    "urls",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(json_values, st.sampled_from([None, *sorted(mediatype.MANIFESTS)]))
def test_manifest_parser_knows_only_its_error(document: object, content_type: str | None) -> None:
    try:
        body = orjson.dumps(document)
    except TypeError:
        return
    try:
        found = parse_manifest(body, content_type)
    except ManifestInvalidError:
        return
    assert found.media_type in mediatype.MANIFESTS


@given(
    st.dictionaries(
        st.sampled_from(["config", "layers", "subject", "annotations", "artifactType"]), json_values
    )
)
def test_manifest_parser_survives_any_member(changes: dict[str, Any]) -> None:
    try:
        body = orjson.dumps(image() | changes)
    except TypeError:
        return
    try:
        found = parse_manifest(body, None)
    except ManifestInvalidError:
        return
    assert found.media_type == mediatype.OCI_MANIFEST


@given(st.binary(max_size=300))
def test_manifest_parser_survives_any_bytes(body: bytes) -> None:
    with pytest.raises(ManifestInvalidError):
        parse_manifest(body, mediatype.OCI_MANIFEST)


@given(st.lists(st.sampled_from(["sha256", "sha512"]), max_size=20), st.data())
def test_manifest_keeps_the_order_of_its_layers(algorithms: list[str], data: st.DataObject) -> None:
    digests = [Digest.of(data.draw(st.binary(max_size=8)), algorithm) for algorithm in algorithms]
    found = parse(image(layers=[LAYER | {"digest": str(digest)} for digest in digests]))
    assert [layer.digest for layer in found.layers] == digests
