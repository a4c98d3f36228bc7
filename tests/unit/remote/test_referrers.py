import json

import pytest
from tests.images import INDEX_TYPE, MANIFEST_TYPE

from homeport.oci.digest import Digest
from homeport.remote.manifest import read_manifest
from homeport.remote.referrers import add_referrer, fallback_tag, next_page


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([], None),
        (['</v2/a?n=1>; rel="next"'], "/v2/a?n=1"),
        (["</v2/a>; rel=next"], "/v2/a"),
        (['</v2/a>;title="x, y";rel="prev next"'], "/v2/a"),
        (['</p>; rel="prev", </n>; rel="next"'], "/n"),
        (["</p>; rel=prev", "</n>; rel=next"], "/n"),
        (['</p>; rel="nextish"'], None),
        (["nonsense"], None),
        (["<"], None),
    ],
)
def test_next_page(links: list[str], expected: str | None) -> None:
    assert next_page(links) == expected


def test_fallback_tag_is_a_tag_for_every_algorithm() -> None:
    assert fallback_tag(Digest.of(b"x")) == str(Digest.of(b"x")).replace(":", "-")
    assert len(fallback_tag(Digest.of(b"x", "sha512"))) == len("sha512-") + 64


def test_fallback_index_keeps_what_it_has() -> None:
    body = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": "x/sbom",
            "config": {"mediaType": "x/y", "digest": str(Digest.of(b"{}")), "size": 2},
            "layers": [],
            "annotations": {"a": "b"},
        }
    ).encode()
    referrer = read_manifest("test", body, None, None)
    first = add_referrer(None, referrer)
    assert first is not None
    (entry,) = json.loads(first)["manifests"]
    assert entry == {
        "mediaType": MANIFEST_TYPE,
        "digest": str(referrer.digest),
        "size": len(body),
        "artifactType": "x/sbom",
        "annotations": {"a": "b"},
    }
    present = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [], "annotations": {"kept": "yes"}}
    index = read_manifest("test", json.dumps(present).encode(), None, None)
    second = add_referrer(index, referrer)
    assert second is not None
    assert json.loads(second)["annotations"] == {"kept": "yes"}
    assert add_referrer(read_manifest("test", second, None, None), referrer) is None
