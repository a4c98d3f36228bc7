"""Which resource a path names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.web.v2.routing import Resource, Route, match_path

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", Route(Resource.PING)),
        ("/v2", Route(Resource.PING)),
        ("/v2/_catalog", Route(Resource.CATALOG)),
        ("/v2/_oci/ext/discover", Route(Resource.EXTENSIONS)),
        ("/v2/a/b/manifests/latest", Route(Resource.MANIFEST, "a/b", "latest")),
        (f"/v2/a/b/manifests/{DIGEST}", Route(Resource.MANIFEST, "a/b", DIGEST)),
        (f"/v2/a/b/blobs/{DIGEST}", Route(Resource.BLOB, "a/b", DIGEST)),
        ("/v2/a/b/blobs/uploads/", Route(Resource.UPLOADS, "a/b", "/")),
        ("/v2/a/b/blobs/uploads", Route(Resource.UPLOADS, "a/b", "")),
        ("/v2/a/b/blobs/uploads/some-id", Route(Resource.UPLOAD, "a/b", "some-id")),
        ("/v2/a/b/tags/list", Route(Resource.TAGS, "a/b", "list")),
        (f"/v2/a/b/referrers/{DIGEST}", Route(Resource.REFERRERS, "a/b", DIGEST)),
        ("/v2/a/manifests/manifests/x", Route(Resource.MANIFEST, "a/manifests", "x")),
        ("/v2/a/blobs/manifests/x", Route(Resource.MANIFEST, "a/blobs", "x")),
        ("/v2/a/tags/list/tags/list", Route(Resource.TAGS, "a/tags/list", "list")),
        ("/v2/a/blobs/uploads/x/manifests/y", Route(Resource.MANIFEST, "a/blobs/uploads/x", "y")),
        ("/v2/blobs/uploads/blobs/uploads/", Route(Resource.UPLOADS, "blobs/uploads", "/")),
        ("/v2/a/b/manifests/", None),
        ("/v2/manifests/x", None),
        ("/v2/a/b/tags/other", None),
        ("/v2/a/b", None),
        ("/v1/a/b/manifests/x", None),
        ("/v2x/a/b/manifests/x", None),
        ("", None),
    ],
)
def test_path_names_a_resource(path: str, route: Route | None) -> None:
    assert match_path(path) == route


@given(st.text(alphabet="ab/:.-_%\n\x00é", max_size=60))
def test_any_path_is_answered(tail: str) -> None:
    route = match_path(f"/v2/{tail}")

    assert route is None or "/" not in route.argument.strip("/")
