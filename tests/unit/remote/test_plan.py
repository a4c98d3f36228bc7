import json

from hypothesis import given
from hypothesis import strategies as st
from tests.images import INDEX_TYPE, MANIFEST_TYPE

from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.graph import ImageGraph, unique_blobs
from homeport.remote.manifest import ManifestContent, read_manifest
from homeport.remote.plan import BlobAction, Presence, manifests_to_check, plan_copy

LAYERS = [f"layer {number}".encode() for number in range(6)]


def described(content: bytes) -> dict[str, object]:
    return {"mediaType": "x/layer", "digest": str(Digest.of(content)), "size": len(content)}


def image(*layers: bytes) -> ManifestContent:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described(b"config of " + b",".join(layers)),
        "layers": [described(layer) for layer in layers],
    }
    return read_manifest("test", json.dumps(document).encode(), MANIFEST_TYPE, None)


def index(*children: ManifestContent) -> ManifestContent:
    entries = [
        {"mediaType": child.media_type, "digest": str(child.digest), "size": len(child.body)}
        for child in children
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return read_manifest("test", json.dumps(document).encode(), INDEX_TYPE, None)


def graph_of(*images: ManifestContent) -> ImageGraph:
    root = index(*images)
    return ImageGraph(root, (*images, root))


def test_empty_destination_gets_everything() -> None:
    graph = graph_of(image(LAYERS[0], LAYERS[1]), image(LAYERS[0], LAYERS[2]))
    plan = plan_copy(graph, "1", Presence(), {})
    assert plan.count(BlobAction.COPY) == 5
    assert plan.size_bytes(BlobAction.COPY) == sum(blob.size_bytes for blob in unique_blobs(graph.manifests))
    assert plan.manifests == graph.manifests[:-1]
    assert (plan.writes_root, plan.manifests_to_write) == (True, 3)
    assert not plan.is_empty


def test_full_destination_gets_nothing() -> None:
    graph = graph_of(image(LAYERS[0]), image(LAYERS[1]))
    presence = Presence(frozenset(c.digest for c in graph.manifests), frozenset(), graph.root.digest)
    plan = plan_copy(graph, "1", presence, {})
    assert plan.is_empty
    assert plan.count(BlobAction.SKIP) == 4
    assert manifests_to_check(graph, presence.manifests) == ()


def test_other_tag_is_all_that_is_written() -> None:
    graph = graph_of(image(LAYERS[0]))
    present = frozenset(content.digest for content in graph.manifests)
    plan = plan_copy(graph, "2", Presence(present, frozenset(), Digest.of(b"other")), {})
    assert (plan.manifests, plan.writes_root, plan.manifests_to_write) == ((), True, 1)
    assert plan_copy(graph, None, Presence(present), {}).is_empty


def test_blobs_elsewhere_in_the_registry_are_mounted() -> None:
    graph = graph_of(image(LAYERS[0], LAYERS[1]))
    origins = {Digest.of(LAYERS[0]): "other/one", Digest.of(LAYERS[1]): "other/two"}
    plan = plan_copy(graph, "1", Presence(frozenset(), frozenset({Digest.of(LAYERS[1])})), origins)
    actions = {blob.descriptor.digest: (blob.action, blob.origin) for blob in plan.blobs}
    assert actions[Digest.of(LAYERS[0])] == (BlobAction.MOUNT, "other/one")
    assert actions[Digest.of(LAYERS[1])] == (BlobAction.SKIP, None)


def test_referrers_bring_their_own_blobs_and_share_those_of_the_image() -> None:
    base, sbom = image(LAYERS[0]), image(LAYERS[0], LAYERS[1])
    graph = ImageGraph(base, (base,), (sbom,))
    plan = plan_copy(graph, "1", Presence(), {})
    (referrer,) = plan.referrers
    assert len(referrer.blobs) == 3
    assert len(plan.all_blobs) == 4
    assert plan_copy(graph, "1", Presence(frozenset({sbom.digest})), {}).referrers == ()


LAYER_SETS = st.lists(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4), min_size=1, max_size=4)


@given(
    layers=LAYER_SETS,
    present=st.sets(st.sampled_from(LAYERS)),
    elsewhere=st.sets(st.sampled_from(LAYERS)),
    done=st.integers(0, 5),
)
def test_plan_covers_each_blob_once_and_nothing_else(
    layers: list[list[bytes]], present: set[bytes], elsewhere: set[bytes], done: int
) -> None:
    images = {(content := image(*parts)).digest: content for parts in layers}
    graph = graph_of(*images.values())
    present_manifests = frozenset(list(images)[:done])
    presence = Presence(present_manifests, frozenset(map(Digest.of, present)))
    plan = plan_copy(graph, "1", presence, {Digest.of(layer): "other" for layer in elsewhere})
    wanted = {blob.digest: blob for blob in unique_blobs(graph.manifests)}
    planned: dict[Digest, Descriptor] = {blob.descriptor.digest: blob.descriptor for blob in plan.all_blobs}
    assert planned == wanted
    assert len(plan.all_blobs) == len(wanted)
    assert sum(plan.count(action) for action in BlobAction) == len(wanted)
    assert {content.digest for content in plan.manifests} == set(images) - present_manifests
    for blob in plan.all_blobs:
        if blob.descriptor.digest in presence.blobs:
            assert blob.action is BlobAction.SKIP
        assert (blob.origin is not None) == (blob.action is BlobAction.MOUNT)
