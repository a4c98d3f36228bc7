import json
import os
from pathlib import Path

import pytest
from tests.images import MANIFEST_TYPE, ImageSet, write_small_images
from tests.images import OciLayout as WrittenLayout

from homeport.oci.digest import Digest, parse_digest
from homeport.oci.manifest import Descriptor
from homeport.remote.blob import VerifiedBlob
from homeport.remote.errors import ContentMismatchError, NotFoundError, ProtocolError, RemoteError, UsageError
from homeport.remote.layout import OciLayout, open_layout

pytestmark = pytest.mark.anyio


async def copy_image(source: OciLayout, target: OciLayout, name: str, tag: str) -> Digest:
    content = await source.fetch_manifest(name)
    for blob in content.blobs():
        await target.write_blob(VerifiedBlob(source, blob), None)
    await target.write_manifest(content, tag)
    await target.finish()
    return content.digest


async def test_written_image_can_be_read_by_name_and_digest(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "new", for_writing=True)
    digest = await copy_image(source, target, "1.22", "mine")
    again = await open_layout(tmp_path / "new", for_writing=False)
    assert (await again.fetch_manifest("mine")).digest == digest
    assert (await again.fetch_manifest("")).digest == digest
    assert (await again.fetch_manifest(digest)).digest == digest
    assert await again.find_manifest("mine") == digest
    assert await again.find_manifest(digest) == digest
    assert WrittenLayout(tmp_path / "new").digest("mine") == str(digest)
    assert list((tmp_path / "new").rglob(".*")) == []


async def test_tag_moves_and_others_stay(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    for name, tag in (("1.22", "a"), ("1.22", "b"), ("1.22-secured", "a"), ("1.22", ""), ("1.22", "")):
        await copy_image(source, await open_layout(tmp_path / "new", for_writing=True), name, tag)
    entries = json.loads((tmp_path / "new" / "index.json").read_bytes())["manifests"]
    names = sorted(
        entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "") for entry in entries
    )
    assert names == ["a", "b"]
    expected = WrittenLayout(small_images.nginx)
    written = WrittenLayout(tmp_path / "new")
    assert written.digest("a") == expected.digest("1.22-secured")
    assert written.digest("b") == expected.digest("1.22")


async def test_index_keeps_what_it_does_not_understand(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    await copy_image(source, await open_layout(tmp_path / "new", for_writing=True), "1.22", "a")
    index = tmp_path / "new" / "index.json"
    document = json.loads(index.read_bytes())
    document["x-extra"] = {"kept": True}
    document["manifests"][0]["x-other"] = 5
    index.write_text(json.dumps(document))
    await copy_image(source, await open_layout(tmp_path / "new", for_writing=True), "1.22-secured", "b")
    after = json.loads(index.read_bytes())
    assert after["x-extra"] == {"kept": True}
    assert after["manifests"][0]["x-other"] == 5
    assert len(after["manifests"]) == 2


async def test_wrong_blob_leaves_nothing(tmp_path: Path) -> None:
    images = write_small_images(tmp_path / "images")
    source = await open_layout(images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "new", for_writing=True)
    content = await source.fetch_manifest("1.22")
    layer = content.manifest.layers[0]
    wrong = Descriptor(layer.media_type, Digest.of(b"other"), layer.size_bytes)
    (images.nginx / "blobs" / "sha256" / wrong.digest.encoded).write_bytes(os.urandom(layer.size_bytes))
    with pytest.raises(ContentMismatchError):
        await target.write_blob(VerifiedBlob(source, wrong), None)
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == [
        tmp_path / "new" / "oci-layout"
    ]


async def test_damaged_blob_does_not_count_as_present(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "new", for_writing=True)
    digest = await copy_image(source, target, "1.22", "a")
    layer = (await target.fetch_manifest(digest)).manifest.layers[0]
    path = tmp_path / "new" / "blobs" / "sha256" / layer.digest.encoded
    assert await target.has_blob(layer)
    path.write_bytes(bytes(layer.size_bytes))
    assert not await target.has_blob(layer)
    path.unlink()
    assert not await target.has_blob(layer)
    assert await target.find_manifest(digest) is None


async def test_manifest_of_other_bytes_is_refused(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "new", for_writing=True)
    digest = await copy_image(source, target, "1.22", "a")
    path = tmp_path / "new" / "blobs" / "sha256" / digest.encoded
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ContentMismatchError):
        await target.fetch_manifest("a")


async def test_name_must_be_given_when_there_are_several(small_images: ImageSet) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    with pytest.raises(UsageError) as caught:
        await source.fetch_manifest("")
    assert "1.22-secured" in caught.value.hint
    with pytest.raises(NotFoundError):
        await source.fetch_manifest("absent")


async def test_referrers_are_listed_and_do_not_count_as_images(tmp_path: Path) -> None:
    layout = WrittenLayout(tmp_path / "new").create()
    image = layout.add_image("", "amd64", [{"a": b"b"}])
    subject = {key: image[key] for key in ("mediaType", "digest", "size")}
    config = layout.add_blob(b"{}", "application/vnd.oci.empty.v1+json")
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config,
        "layers": [],
        "subject": subject,
    }
    referrer = layout.add_blob(json.dumps(body).encode(), MANIFEST_TYPE)
    index = tmp_path / "new" / "index.json"
    document = json.loads(index.read_bytes())
    document["manifests"].append(referrer)
    index.write_text(json.dumps(document))
    opened = await open_layout(tmp_path / "new", for_writing=False)
    assert str((await opened.fetch_manifest("")).digest) == image["digest"]
    (found,) = await opened.list_referrers(parse_digest(image["digest"]))
    assert str(found.digest) == referrer["digest"]


@pytest.mark.parametrize("marker", ["", "{}", '{"imageLayoutVersion": "2.0.0"}', "[]"])
async def test_other_marker_is_no_layout(marker: str, tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text(marker)
    with pytest.raises(ProtocolError):
        await open_layout(tmp_path, for_writing=False)


async def test_directory_with_other_things_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(NotFoundError):
        await open_layout(tmp_path, for_writing=False)
    with pytest.raises(UsageError):
        await open_layout(tmp_path, for_writing=True)
    with pytest.raises(NotFoundError):
        await open_layout(tmp_path / "absent", for_writing=False)


async def test_opening_for_writing_makes_nothing(tmp_path: Path) -> None:
    await open_layout(tmp_path / "new", for_writing=True)
    assert not (tmp_path / "new").exists()


async def test_blob_that_is_no_file_is_refused(small_images: ImageSet, tmp_path: Path) -> None:
    source = await open_layout(small_images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "new", for_writing=True)
    digest = await copy_image(source, target, "1.22", "a")
    layer = (await target.fetch_manifest(digest)).manifest.layers[0]
    path = tmp_path / "new" / "blobs" / "sha256" / layer.digest.encoded
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RemoteError, match="not a regular file"):
        await VerifiedBlob(target, layer).read_all()


async def test_directory_that_cannot_be_written_is_an_error(small_images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = await open_layout(small_images.nginx, for_writing=False)
    target = await open_layout(tmp_path / "file" / "new", for_writing=True)
    with pytest.raises(RemoteError, match="cannot be written"):
        await copy_image(source, target, "1.22", "a")
