import json

import pytest
from tests.images import INDEX_TYPE, MANIFEST_TYPE

from homeport.oci.digest import Digest
from homeport.remote.errors import ContentMismatchError, ProtocolError
from homeport.remote.manifest import guess_media_type, read_manifest

CONFIG = {"mediaType": "x/config", "digest": str(Digest.of(b"{}")), "size": 2}
IMAGE = json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": [CONFIG, CONFIG]}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (IMAGE, MANIFEST_TYPE),
        (b'{"schemaVersion": 2, "manifests": []}', INDEX_TYPE),
        (b'{"mediaType": "a/b", "manifests": []}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_media_type_is_guessed_from_the_members(body: bytes, expected: str | None) -> None:
    assert guess_media_type(body) == expected


def test_manifest_keeps_its_bytes_and_lists_each_blob_once() -> None:
    content = read_manifest("test", IMAGE, None, None)
    assert content.body == IMAGE
    assert content.descriptor.digest == Digest.of(IMAGE)
    assert [blob.digest for blob in content.blobs()] == [Digest.of(b"{}")]
    assert content.children() == ()


def test_digest_is_computed_with_the_expected_algorithm() -> None:
    expected = Digest.of(IMAGE, "sha512")
    assert read_manifest("test", IMAGE, None, expected).digest == expected
    with pytest.raises(ContentMismatchError, match="test gave wrong content"):
        read_manifest("test", IMAGE, None, Digest.of(b"other", "sha512"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"schemaVersion": 1}', b"[" * 100_000])
def test_other_bytes_are_no_manifest(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="test has an unusable manifest"):
        read_manifest("test", body, MANIFEST_TYPE, None)
