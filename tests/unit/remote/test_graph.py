import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.images import INDEX_TYPE, MANIFEST_TYPE
from tests.unit.remote.hostile import HostileRegistry, answer

from homeport.oci.digest import parse_digest
from homeport.oci.platform import parse_platform
from homeport.remote.errors import ContentMismatchError, NotFoundError, ProtocolError, UsageError
from homeport.remote.graph import MAX_DEPTH, Selection, load_graph
from homeport.remote.repository import RegistryRepository

pytestmark = pytest.mark.anyio

NAME = "a/image"


def add_child(hostile: HostileRegistry, *layers: bytes, **platform: str) -> dict[str, Any]:
    """Store an image and return its descriptor with the platform."""
    digest = hostile.add_image(NAME, "child", *layers)
    size = len(hostile.manifests[NAME, digest][1])
    found: dict[str, Any] = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": size}
    return {**found, "platform": platform} if platform else found


def add_index(
    hostile: HostileRegistry, children: Sequence[Mapping[str, Any]], tag: str = "1"
) -> dict[str, Any]:
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(children)}
    digest = hostile.add_manifest(NAME, tag, document)
    return {"mediaType": INDEX_TYPE, "digest": digest, "size": len(hostile.manifests[NAME, digest][1])}


def select(*platforms: str, sparse: bool = False) -> Selection:
    return Selection(tuple(map(parse_platform, platforms)), sparse=sparse)


ARM, AMD = {"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64"}


async def test_children_stand_before_their_index(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    arm, amd = add_child(hostile, b"1", **ARM), add_child(hostile, b"2", **AMD)
    inner = add_index(hostile, [arm, amd], "inner")
    root = add_index(hostile, [inner, amd])
    graph = await load_graph(repository, "1", Selection())
    order = [str(content.digest) for content in graph.manifests]
    assert order == [child["digest"] for child in (arm, amd, inner, root)]
    assert str(graph.root.digest) == root["digest"]


async def test_one_platform_is_that_image_alone(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    arm = add_child(hostile, b"1", **ARM)
    add_index(hostile, [add_index(hostile, [arm], "inner"), add_child(hostile, b"2", **AMD)])
    graph = await load_graph(repository, "1", select("linux/arm64"))
    assert [str(content.digest) for content in graph.manifests] == [arm["digest"]]
    assert graph.omitted == ()


async def test_sparse_keeps_the_index_and_leaves_out_the_others(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    arm, amd = add_child(hostile, b"1", **ARM), add_child(hostile, b"2", **AMD)
    s390 = add_child(hostile, b"3", os="linux", architecture="s390x")
    proof = {
        **add_child(hostile, b"proof", os="unknown", architecture="unknown"),
        "annotations": {"vnd.docker.reference.digest": arm["digest"]},
    }
    root = add_index(hostile, [amd, add_index(hostile, [arm], "inner"), s390, proof])
    graph = await load_graph(repository, "1", select("linux/arm64", sparse=True))
    assert str(graph.root.digest) == root["digest"]
    assert {str(child.digest) for child in graph.omitted} == {amd["digest"], s390["digest"]}
    assert proof["digest"] in {str(content.digest) for content in graph.manifests}
    assert len(graph.manifests) == 4


async def test_absent_platform_is_an_error_that_names_the_others(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    add_index(hostile, [add_child(hostile, b"1", **ARM), add_child(hostile, b"2", **AMD)])
    for selection in (select("linux/386"), select("linux/386", "linux/arm64", sparse=True)):
        with pytest.raises(UsageError) as caught:
            await load_graph(repository, "1", selection)
        assert caught.value.hint == "it has linux/amd64, linux/arm64"


async def test_single_image_must_be_for_the_platform(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image(NAME, "1", b"layer")
    await load_graph(repository, "1", select("linux/amd64"))
    with pytest.raises(UsageError) as caught:
        await load_graph(repository, "1", select("linux/arm64"))
    assert "linux/amd64" in caught.value.hint


def test_selection_that_makes_no_sense_is_an_error() -> None:
    with pytest.raises(UsageError, match="several platforms"):
        select("linux/arm64", "linux/amd64").check()
    with pytest.raises(UsageError, match="--sparse"):
        select(sparse=True).check()


async def test_missing_child_is_an_error_that_names_it(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    arm = add_child(hostile, b"1", **ARM)
    add_index(hostile, [arm, add_child(hostile, b"2", **AMD)])
    del hostile.manifests[NAME, arm["digest"]]
    with pytest.raises(NotFoundError, match="linux/arm64, which its index names"):
        await load_graph(repository, "1", Selection())


async def test_child_of_another_size_is_refused(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    child = add_child(hostile, b"1")
    add_index(hostile, [{**child, "size": child["size"] + 1}])
    with pytest.raises(ProtocolError, match="its descriptor says"):
        await load_graph(repository, "1", Selection())


async def test_deep_nesting_is_refused(hostile: HostileRegistry, repository: RegistryRepository) -> None:
    child = add_child(hostile, b"1", **ARM)
    for _ in range(MAX_DEPTH + 2):
        child = add_index(hostile, [child])
    for selection in (Selection(), select("linux/arm64"), select("linux/arm64", sparse=True)):
        with pytest.raises(ProtocolError, match="deep"):
            await load_graph(repository, "1", selection)


async def test_too_many_manifests_are_refused(
    hostile: HostileRegistry, repository: RegistryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_index(hostile, [add_child(hostile, bytes([number])) for number in range(5)])
    monkeypatch.setattr("homeport.remote.graph.MAX_MANIFESTS", 3)
    with pytest.raises(ProtocolError, match="too many"):
        await load_graph(repository, "1", Selection())


async def test_old_format_is_refused_in_plain_words(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    hostile.on("GET", "/manifests/", answer(200, b'{"schemaVersion": 1}', Content_Type=kind))
    with pytest.raises(ProtocolError, match="schema 1"):
        await load_graph(repository, "1", Selection())


async def test_odd_children_count_as_blobs(hostile: HostileRegistry, repository: RegistryRepository) -> None:
    kind = "application/vnd.buildkit.cacheconfig.v0"
    add_index(hostile, [{"mediaType": kind, "digest": hostile.add_blob(b"cache"), "size": 5}])
    graph = await load_graph(repository, "1", Selection())
    assert [blob.media_type for blob in graph.root.blobs()] == [kind]
    assert len(graph.manifests) == 1


async def test_foreign_layers_are_left_where_they_are(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image(NAME, "1", b"own", b"foreign")
    document = json.loads(hostile.manifests[NAME, "1"][1])
    document["layers"][1]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    hostile.add_manifest(NAME, "1", document)
    graph = await load_graph(repository, "1", Selection())
    assert [str(blob.digest) for blob in graph.root.blobs()] == [
        document["config"]["digest"],
        document["layers"][0]["digest"],
    ]


async def test_referrers_of_all_manifests_come_along(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    child = add_child(hostile, b"1", **ARM)
    root = add_index(hostile, [child])
    sbom = hostile.add_image(NAME, "sbom", b"sbom", subject=child, artifactType="x/sbom")
    about = {"mediaType": MANIFEST_TYPE, "digest": sbom, "size": 1}
    signature = hostile.add_image(NAME, "signature", b"signed", subject=about)
    other = hostile.add_image(NAME, "other", b"other", subject=root)
    graph = await load_graph(repository, "1", Selection(with_referrers=True))
    assert {str(content.digest) for content in graph.manifests} == {child["digest"], root["digest"]}
    found = [str(content.digest) for content in graph.referrers]
    assert set(found) == {sbom, signature, other}
    assert found.index(sbom) < found.index(signature)
    assert (await load_graph(repository, "1", Selection())).referrers == ()


async def test_referrers_that_are_not_there_are_told(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    subject = hostile.add_image(NAME, "1", b"layer")
    about = {"mediaType": MANIFEST_TYPE, "digest": subject, "size": 1}
    sbom = hostile.add_image(NAME, "sbom", b"sbom", subject=about)
    hostile.on("GET", f"/manifests/{sbom}", answer(404))
    graph = await load_graph(repository, "1", Selection(with_referrers=True))
    assert graph.missing_referrers == (parse_digest(sbom),)
    assert graph.referrers == ()


async def test_list_of_referrers_that_lies_is_not_believed(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    hostile.add_image(NAME, "1", b"layer")
    stranger = hostile.add_image(NAME, "stranger", b"stranger")
    size = len(hostile.manifests[NAME, stranger][1])
    entry = {"mediaType": MANIFEST_TYPE, "digest": stranger, "size": size}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    hostile.on("GET", "/referrers/", answer(200, json.dumps(index).encode(), Content_Type=INDEX_TYPE))
    assert (await load_graph(repository, "1", Selection(with_referrers=True))).referrers == ()


async def test_wrong_manifest_stops_the_whole(
    hostile: HostileRegistry, repository: RegistryRepository
) -> None:
    child = add_child(hostile, b"1", **ARM)
    add_index(hostile, [child])
    hostile.manifests[NAME, child["digest"]] = (MANIFEST_TYPE, b" " * child["size"])
    with pytest.raises(ContentMismatchError):
        await load_graph(repository, "1", Selection())
