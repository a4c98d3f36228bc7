"""A small registry to damage: a repository with blobs, images, an index and a referrer."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from homeport.blobs.store import BlobStore
from homeport.db.actor import Actor
from homeport.db.engine import Database
from homeport.db.repositories import locate
from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.registry.content import SmallContent
from homeport.registry.push import ManifestPush, Pusher
from homeport.registry.uploads import Uploads

REPOSITORY = "library/app"
ACTOR = Actor("admin", "basic", "127.0.0.1", "tests", "request")


@dataclass(frozen=True, slots=True)
class Contents:
    """The digests of what was pushed."""

    config: Digest
    layer: Digest
    image: Digest
    index: Digest
    referrer: Digest


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


def image_of(config: bytes, *layers: bytes, **more: object) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers],
            **more,
        }
    ).encode()


def index_of(*manifests: bytes) -> bytes:
    children = [descriptor(mediatype.OCI_MANIFEST, manifest) for manifest in manifests]
    return json.dumps({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": children}).encode()


async def push_blob(database: Database, store: BlobStore, content: bytes) -> Digest:
    uploads = Uploads(database, store)
    upload_id = await uploads.start(REPOSITORY)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await uploads.append(REPOSITORY, upload_id, chunks(), offset=None)
    digest = Digest.of(content)
    await uploads.finish(await database.read(locate, REPOSITORY), upload_id, digest)
    return digest


async def push_manifest(
    database: Database, body: bytes, reference: str, *, store: BlobStore, is_sparse: bool = False
) -> Digest:
    pusher = Pusher(database, SmallContent(store), allows_sparse=is_sparse)
    await pusher.put_manifest(ACTOR, ManifestPush(REPOSITORY, reference, (), None, body))
    return Digest.of(body)


async def push_contents(database: Database, store: BlobStore) -> Contents:
    """Push one of each kind."""
    config, layer = b"{}", b"layer" * 1000
    await push_blob(database, store, config)
    await push_blob(database, store, layer)
    image = image_of(config, layer, annotations={"org.example": "yes"})
    index = index_of(image)
    subject = descriptor(mediatype.OCI_MANIFEST, image)
    referrer = image_of(config, subject=subject, artifactType="application/vnd.example")
    return Contents(
        Digest.of(config),
        Digest.of(layer),
        await push_manifest(database, image, "image", store=store),
        await push_manifest(database, index, "latest", store=store),
        await push_manifest(database, referrer, str(Digest.of(referrer)), store=store),
    )
