import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.images import ImageSet, write_small_images
from tests.images import OciLayout as WrittenLayout

from homeport.oci.platform import Platform
from homeport.remote.archive import full_name, open_archive
from homeport.remote.archive_writer import create_archive, familiar_name
from homeport.remote.blob import VerifiedBlob
from homeport.remote.endpoint import ImageDestination, ImageSource
from homeport.remote.errors import ContentMismatchError, NotFoundError, ProtocolError, RemoteError, UsageError
from homeport.remote.layout import open_layout

pytestmark = pytest.mark.anyio

AMD64 = Platform("linux", "amd64")


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def old_archive(
    path: Path,
    layers: Sequence[bytes],
    names: Sequence[str] = ("nginx:1",),
    diff_ids: Sequence[str] | None = None,
) -> Path:
    """Write an archive as Docker did before version 25: without manifests."""
    digests = [sha256(layer) for layer in layers] if diff_ids is None else diff_ids
    rootfs = {"type": "layers", "diff_ids": list(digests)}
    fields = {"architecture": "amd64", "os": "linux", "rootfs": rootfs}
    body = json.dumps(fields).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    paths = [f"{number}/layer.tar" for number in range(len(layers))]
    with tarfile.open(path, "w") as archive:
        add(archive, config_name, body)
        for name, layer in zip(paths, layers, strict=True):
            add(archive, name, layer)
        saved = [{"Config": config_name, "RepoTags": names, "Layers": paths}]
        add(archive, "manifest.json", json.dumps(saved).encode())
    return path


async def read_all(source: ImageSource, name: str) -> Mapping[str, bytes]:
    content = await source.fetch_manifest(name)
    return {str(blob.digest): await VerifiedBlob(source, blob).read_all() for blob in content.blobs()}


async def fill(source: ImageSource, target: ImageDestination, name: str, tag: str) -> str:
    content = await source.fetch_manifest(name)
    children = [await source.fetch_manifest(child.digest) for child in content.children()]
    for manifest in (*children, content):
        for blob in manifest.blobs():
            if not await target.has_blob(blob):
                await target.write_blob(VerifiedBlob(source, blob), None)
        await target.write_manifest(manifest, tag if manifest is content else None)
    await target.finish()
    return str(content.digest)


async def test_old_archive_gets_the_same_manifest_each_time(tmp_path: Path) -> None:
    layers = [os.urandom(100_000), b"second"]
    path = old_archive(tmp_path / "a.tar", layers)
    async with open_archive(path) as source:
        first = await source.fetch_manifest("")
        contents = await read_all(source, "nginx:1")
        assert await source.list_referrers(first.digest) == ()
    async with open_archive(path) as source:
        assert (await source.fetch_manifest("docker.io/library/nginx:1")).body == first.body
    assert first.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert [layer.media_type.rpartition(".")[2] for layer in first.manifest.layers] == ["tar", "tar"]
    assert list(contents.values())[1:] == layers


async def test_packed_layers_of_an_old_archive_stay_as_they_are(tmp_path: Path) -> None:
    packed = gzip.compress(b"plain", mtime=0)
    path = old_archive(tmp_path / "a.tar", [packed], diff_ids=[sha256(b"plain")])
    async with open_archive(path) as source:
        content = await source.fetch_manifest("")
        (layer,) = content.manifest.layers
        assert layer.media_type.endswith("tar.gzip")
        assert await VerifiedBlob(source, layer).read_all() == packed


async def test_layer_that_is_not_its_diff_id_is_refused(tmp_path: Path) -> None:
    path = old_archive(tmp_path / "a.tar", [b"bytes"], diff_ids=[sha256(b"other")])
    async with open_archive(path) as source:
        with pytest.raises(ContentMismatchError):
            await read_all(source, "")


async def test_name_must_be_given_when_there_are_several(tmp_path: Path) -> None:
    old_archive(tmp_path / "a.tar", [b"layer"], ["nginx:1", "host.example/b/c:2"])
    with tarfile.open(tmp_path / "a.tar") as archive:
        contents = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    (saved,) = json.loads(contents["manifest.json"])
    contents["manifest.json"] = json.dumps([saved, {**saved, "RepoTags": None}]).encode()
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for name, content in contents.items():
            add(archive, name, content)
    async with open_archive(tmp_path / "b.tar") as source:
        assert (await source.fetch_manifest("host.example/b/c:2")).manifest.layers
        with pytest.raises(UsageError) as caught:
            await source.fetch_manifest("")
        assert "docker.io/library/nginx:1" in caught.value.hint
        with pytest.raises(NotFoundError):
            await source.fetch_manifest("nginx:2")


@pytest.mark.parametrize(
    "contents",
    [
        {"other": b""},
        {"manifest.json": b"{"},
        {"manifest.json": b"[]"},
        {"manifest.json": b"{}"},
        {"manifest.json": b'[{"Config": 5, "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": "abc"}]'},
        {"manifest.json": b'[{"Config": "absent", "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b"{}"},
        {
            "manifest.json": b'[{"Config": "c", "Layers": ["l"]}]',
            "c": b'{"rootfs":{"diff_ids":[]}}',
            "l": b"",
        },
        {
            "manifest.json": b'[{"Config": "c", "Layers": ["l"]}]',
            "c": b'{"rootfs":{"diff_ids":["x"]}}',
            "l": b"",
        },
        {"oci-layout": b"{}", "index.json": b"[]"},
    ],
)
async def test_unusable_archive_is_an_error(contents: Mapping[str, bytes], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in contents.items():
            add(archive, name, content)
    with pytest.raises((ProtocolError, NotFoundError)):
        async with open_archive(tmp_path / "a.tar") as source:
            await source.fetch_manifest("")


@pytest.mark.parametrize("name", ["image.tar", "image.tar.gz", "image.tgz"])
async def test_written_archive_keeps_digests_and_names(
    name: str, small_images: ImageSet, tmp_path: Path
) -> None:
    layout = await open_layout(small_images.nginx, for_writing=False)
    async with create_archive(tmp_path / name, AMD64) as target:
        digest = await fill(layout, target, "multi", "docker.io/library/nginx:1.22")
    assert digest == WrittenLayout(small_images.nginx).digest("multi")
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") is name.endswith("gz")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    async with open_archive(tmp_path / name) as source:
        for given in ("", "nginx:1.22", "docker.io/library/nginx:1.22", "1.22"):
            assert str((await source.fetch_manifest(given)).digest) == digest
        with pytest.raises(NotFoundError):
            await source.fetch_manifest("nginx:other")
        assert await read_all(source, "") == await read_all(layout, "multi")
    with tarfile.open(tmp_path / name) as archive:
        (saved,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(saved["Config"]))  # type: ignore[arg-type]
    assert saved["RepoTags"] == ["nginx:1.22"]
    assert config["architecture"] == "amd64"
    assert len(saved["Layers"]) == len(config["rootfs"]["diff_ids"])


async def test_archive_appears_only_when_it_is_finished(small_images: ImageSet, tmp_path: Path) -> None:
    layout = await open_layout(small_images.nginx, for_writing=False)
    target_file = tmp_path / "out" / "a.tar"
    target_file.parent.mkdir()
    target_file.write_bytes(b"before")
    content = await layout.fetch_manifest("1.22")
    async with create_archive(target_file, AMD64) as target:
        await target.write_blob(VerifiedBlob(layout, content.blobs()[0]), None)
    assert [path.name for path in target_file.parent.iterdir()] == ["a.tar"]
    assert target_file.read_bytes() == b"before"


async def test_wrong_blob_spoils_the_archive(tmp_path: Path) -> None:
    images = write_small_images(tmp_path / "images")
    layout = await open_layout(images.nginx, for_writing=False)
    content = await layout.fetch_manifest("1.22")
    blob = content.blobs()[1]
    (images.nginx / "blobs" / "sha256" / blob.digest.encoded).write_bytes(bytes(blob.size_bytes))
    async with create_archive(tmp_path / "a.tar", AMD64) as target:
        with pytest.raises(ContentMismatchError):
            await target.write_blob(VerifiedBlob(layout, blob), None)
        with pytest.raises(RemoteError, match="spoiled"):
            await target.write_manifest(content, "x")
        with pytest.raises(RemoteError, match="spoiled"):
            await target.finish()
    assert list(tmp_path.glob("*.tar")) == []


async def test_archive_that_cannot_be_written_is_an_error(small_images: ImageSet, tmp_path: Path) -> None:
    layout = await open_layout(small_images.nginx, for_writing=False)
    async with create_archive(tmp_path / "absent" / "a.tar", AMD64) as target:
        with pytest.raises(RemoteError, match="cannot be written"):
            await fill(layout, target, "1.22", "")


@pytest.mark.parametrize("spoil", ["cut", "damaged"])
async def test_spoiled_gzip_is_an_error(spoil: str, tmp_path: Path) -> None:
    plain = old_archive(tmp_path / "a.tar", [os.urandom(300_000)]).read_bytes()
    packed = bytearray(gzip.compress(plain))
    if spoil == "cut":
        del packed[200_000:]
    else:
        packed[150_000:150_100] = bytes(100)
    (tmp_path / "a.tar.gz").write_bytes(packed)
    with pytest.raises(ProtocolError):
        async with open_archive(tmp_path / "a.tar.gz") as source:
            await source.fetch_manifest("")


async def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    plain = old_archive(tmp_path / "a.tar", [b"layer" * 1000]).read_bytes()
    (tmp_path / "b").write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:]) + bytes(512))
    async with open_archive(tmp_path / "b") as source:
        assert (await source.fetch_manifest("nginx:1")).manifest.layers


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        ("team/app:2", "docker.io/team/app:2", "team/app:2"),
        ("host.example:5000/a/b:3", "host.example:5000/a/b:3", "host.example:5000/a/b:3"),
        ("no image!", "no image!", "no image!"),
    ],
)
def test_names(text: str, full: str, familiar: str) -> None:
    assert full_name(text) == full
    assert familiar_name(full) == familiar
