"""Taking in manifests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy import Connection

from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.contents import known_blobs
from homeport.db.engine import Database
from homeport.db.manifests import (
    ArtifactFacts,
    NewManifest,
    Reference,
    adopt_child,
    known_manifests,
    set_tag,
    store_manifest,
)
from homeport.db.repositories import ensure_repository
from homeport.oci.digest import Digest, parse_digest
from homeport.oci.errors import OciError, OciErrorCode
from homeport.oci.image_config import all_attributes, image_attributes, parse_config
from homeport.oci.manifest import Descriptor, Manifest, parse_manifest
from homeport.oci.name import parse_tag
from homeport.registry.content import SmallContent
from homeport.registry.errors import MissingContentError
from homeport.rules.artifact_type import CHART, IMAGE, accessory_of, kind_of, media_type_of


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """A manifest as a client sends it; `reference` is a tag or a digest, `tags` come with `?tag=`."""

    repository_name: str
    reference: str
    tags: Sequence[str]
    content_type: str | None
    body: bytes
    # the project that the push was allowed in; None makes one
    project_id: int | None = None


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What was stored: the digest in the algorithm asked for, the subject, the tags set by `?tag=`."""

    digest: str
    subject_digest: str | None
    tags: tuple[str, ...]


class Pusher:
    """Stores manifests; `allows_sparse` takes indexes some of whose manifests are absent.

    What lists show of a config (platform, author, labels) is read from the content once, here.
    """

    def __init__(self, database: Database, content: SmallContent, *, allows_sparse: bool) -> None:
        self._database = database
        self._content = content
        self._allows_sparse = allows_sparse

    async def put_manifest(self, actor: Actor, push: ManifestPush) -> PushedManifest:
        """Check the manifest and store it with its references, tags and audit records in one transaction.

        When this returns, the manifest and every tag are durable and visible, together. Raises OciError
        (DIGEST_INVALID, TAG_INVALID, MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN) and changes nothing then.
        """
        if ":" in push.reference:
            digest = parse_digest(push.reference)
            if Digest.of(push.body, digest.algorithm) != digest:
                raise OciError(
                    OciErrorCode.DIGEST_INVALID,
                    "the manifest does not match the digest",
                    detail=push.reference,
                )
            tags = tuple(dict.fromkeys(parse_tag(tag) for tag in push.tags))
            named = tags
        else:
            digest = Digest.of(push.body)
            named = ()
            tags = (parse_tag(push.reference),)
        manifest = parse_manifest(push.body, push.content_type)
        facts = await self._describe(manifest, tags)
        await self._database.write(self._store, actor, push, (digest, manifest, facts), tags)
        subject = manifest.subject
        return PushedManifest(str(digest), str(subject.digest) if subject else None, named)

    async def _describe(self, manifest: Manifest, tags: tuple[str, ...]) -> ArtifactFacts:
        kind = kind_of(manifest)
        return ArtifactFacts(
            kind=kind,
            config_media_type=media_type_of(manifest),
            extra_attrs=await self._read_attributes(manifest, kind),
            accessory=accessory_of(manifest, tags),
        )

    async def _read_attributes(self, manifest: Manifest, kind: str) -> str | None:
        """Return what the config says; the push is refused later when the repository does not have it."""
        config = manifest.config
        if config is None or not (kind in {IMAGE, CHART} or config.media_type.endswith("+json")):
            return None
        body = await self._content.find(str(config.digest), config.size_bytes)
        document = parse_config(body) if body else None
        if document is None:
            return None
        return image_attributes(document) if kind == IMAGE else all_attributes(document)

    def _store(
        self,
        connection: Connection,
        actor: Actor,
        push: ManifestPush,
        checked: tuple[Digest, Manifest, ArtifactFacts],
        tags: tuple[str, ...],
    ) -> None:
        digest, manifest, facts = checked
        now = datetime.now(UTC)
        repository_id = ensure_repository(connection, push.repository_name, now, project_id=push.project_id)
        new = NewManifest(
            digest=str(digest),
            media_type=manifest.media_type,
            body=push.body,
            referrer_type=manifest.referrer_type,
            subject_digest=str(manifest.subject.digest) if manifest.subject else None,
            annotations=orjson.dumps(manifest.annotations).decode() if manifest.annotations else None,
            references=self._resolve(connection, repository_id, manifest),
            facts=facts,
        )
        manifest_id = store_manifest(connection, repository_id, new, now)
        if self._allows_sparse:
            adopt_child(connection, repository_id, new.digest)
        for tag in tags:
            set_tag(connection, repository_id, tag, manifest_id, now)
        references = tags or (new.digest,)
        add_records(
            connection,
            [
                actor.record("push", Target(push.repository_name, reference, new.digest))
                for reference in references
            ],
        )

    def _resolve(
        self, connection: Connection, repository_id: int, manifest: Manifest
    ) -> tuple[Reference, ...]:
        blobs = [*manifest.layers] if manifest.config is None else [manifest.config, *manifest.layers]
        wanted = {str(descriptor.digest) for descriptor in (*blobs, *manifest.manifests)}
        present = known_blobs(connection, repository_id, wanted)
        children = known_manifests(
            connection, repository_id, {str(child.digest) for child in manifest.manifests}
        )
        references = []
        missing: dict[str, None] = {}
        for position, descriptor in enumerate(blobs):
            is_config = manifest.config is not None and position == 0
            kind = "config" if is_config else "foreign" if descriptor.is_foreign else "layer"
            if kind != "foreign" and str(descriptor.digest) not in present:
                missing[str(descriptor.digest)] = None
            references.append(_reference(kind, descriptor))
        for child in manifest.manifests:
            text = str(child.digest)
            kind = "manifest" if text in children else "blob" if text in present else "absent"
            if kind == "absent" and not self._allows_sparse:
                missing[text] = None
            references.append(_reference(kind, child))
        if missing:
            raise MissingContentError(list(missing))
        return tuple(references)


def _reference(kind: str, descriptor: Descriptor) -> Reference:
    return Reference(kind, str(descriptor.digest), descriptor.size_bytes)
