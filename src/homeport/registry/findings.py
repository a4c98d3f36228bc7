"""What an inspection can find, what to do about each, and the judgement on one manifest."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import orjson

from homeport.db.inspection import ManifestRow, NamedContent
from homeport.oci.digest import Digest, DigestInvalidError, parse_digest
from homeport.oci.errors import OciError
from homeport.oci.manifest import Manifest, parse_manifest


class FindingKind(StrEnum):
    """Everything that an inspection looks for."""

    DATABASE_DAMAGED = "database_damaged"
    REPOSITORY_MISPLACED = "repository_misplaced"
    TAG_ASTRAY = "tag_astray"
    LINK_ASTRAY = "link_astray"
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_DAMAGED = "manifest_damaged"
    MANIFEST_MISRECORDED = "manifest_misrecorded"
    CONTENT_MISSING = "content_missing"
    BLOB_MISSING = "blob_missing"
    BLOB_SIZE_WRONG = "blob_size_wrong"
    BLOB_DAMAGED = "blob_damaged"
    STRAY_FILE = "stray_file"
    QUOTA_MISCOUNTED = "quota_miscounted"
    SIZE_CLAIM_WRONG = "size_claim_wrong"
    CHILD_ARRIVED = "child_arrived"
    BLOBS_UNLINKED = "blobs_unlinked"
    UPLOADS_UNFINISHED = "uploads_unfinished"
    UPLOADS_EXPIRED = "uploads_expired"


NOTES = frozenset(
    {
        FindingKind.SIZE_CLAIM_WRONG,
        FindingKind.CHILD_ARRIVED,
        FindingKind.BLOBS_UNLINKED,
        FindingKind.UPLOADS_UNFINISHED,
        FindingKind.UPLOADS_EXPIRED,
    }
)

_RESTORE_DATABASE = "restore the database from a backup; what was pushed since then is to be pushed again"
_PUSH_AGAIN = "push the image again, or restore a backup"
_RESTORE_BLOB = "push an image that has this blob again, or restore the blobs from a backup"

ADVICE: dict[FindingKind, str] = {
    FindingKind.DATABASE_DAMAGED: f"check the disk, then {_RESTORE_DATABASE}",
    FindingKind.REPOSITORY_MISPLACED: _RESTORE_DATABASE,
    FindingKind.TAG_ASTRAY: "push the tag again, or delete it",
    FindingKind.LINK_ASTRAY: _PUSH_AGAIN,
    FindingKind.MANIFEST_MISSING: _PUSH_AGAIN,
    FindingKind.MANIFEST_DAMAGED: f"check the disk, then {_RESTORE_DATABASE}",
    FindingKind.MANIFEST_MISRECORDED: "push the manifest again: that records anew what it says",
    FindingKind.CONTENT_MISSING: _PUSH_AGAIN,
    FindingKind.BLOB_MISSING: _RESTORE_BLOB,
    FindingKind.BLOB_SIZE_WRONG: f"check the disk, then {_RESTORE_BLOB}",
    FindingKind.BLOB_DAMAGED: f"check the disk, then {_RESTORE_BLOB}",
    FindingKind.STRAY_FILE: "find out who put it there, then remove it: Homeport never reads it",
    FindingKind.QUOTA_MISCOUNTED: "no content is harmed, but the project's limit holds too early or too late;"
    " push its images again, or restore the database from a backup",
    FindingKind.SIZE_CLAIM_WRONG: "clients may refuse the image; whoever made it has to make it anew",
    FindingKind.CHILD_ARRIVED: "push the index again, so that the manifest cannot be deleted under it",
    FindingKind.BLOBS_UNLINKED: "no harm: left by pushes that were cut short or by deletes",
    FindingKind.UPLOADS_UNFINISHED: "no harm: they go on, are cancelled or expire",
    FindingKind.UPLOADS_EXPIRED: "no harm: the jobs process removes them within minutes",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or, when it is a note, merely worth knowing."""

    kind: FindingKind
    subject: str
    message: str

    @property
    def is_damage(self) -> bool:
        """Whether something is lost or wrong."""
        return self.kind not in NOTES

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.kind]


def check_manifest(row: ManifestRow) -> Iterator[Finding]:
    """Yield what is wrong with a manifest: its body, what is recorded of it, what it names."""
    subject = f"{row.repository}@{row.digest}"
    if row.body is None:
        yield Finding(FindingKind.MANIFEST_MISSING, subject, "the manifest's body is missing")
        return
    if not _is_intact(row.body, row.digest):
        yield Finding(
            FindingKind.MANIFEST_DAMAGED, subject, "the manifest's body does not hash to its digest"
        )
        return
    try:
        manifest = parse_manifest(row.body, row.media_type)
    except OciError as error:
        yield Finding(
            FindingKind.MANIFEST_MISRECORDED, subject, f"it cannot be read as {row.media_type}: {error}"
        )
        return
    for what in _misrecorded(row, row.body, manifest):
        yield Finding(FindingKind.MANIFEST_MISRECORDED, subject, f"{what} recorded differs from what it says")
    for content in row.names:
        yield from _check_content(subject, content)


def _is_intact(body: bytes, digest: str) -> bool:
    try:
        expected = parse_digest(digest)
    except DigestInvalidError:
        return False
    return Digest.of(body, expected.algorithm) == expected


def _misrecorded(row: ManifestRow, body: bytes, manifest: Manifest) -> Iterator[str]:
    """Yield what the database has otherwise than the manifest itself."""
    if row.size_bytes != len(body):
        yield "the size"
    if row.subject_digest != (str(manifest.subject.digest) if manifest.subject else None):
        yield "the subject"
    if row.referrer_type != manifest.referrer_type:
        yield "the artifact type"
    if (orjson.loads(row.annotations) if row.annotations else {}) != manifest.annotations:
        yield "the list of annotations"
    if [_plain(content) for content in row.names] != _named_by(manifest):
        yield "the list of contents"


_CHILD_KINDS = frozenset({"manifest", "blob", "absent"})


def _plain(content: NamedContent) -> tuple[str, str, int]:
    reference = content.reference
    kind = "child" if reference.kind in _CHILD_KINDS else reference.kind
    return kind, reference.digest, reference.size_bytes


def _named_by(manifest: Manifest) -> list[tuple[str, str, int]]:
    named = [] if manifest.config is None else [("config", manifest.config)]
    named += [("foreign" if layer.is_foreign else "layer", layer) for layer in manifest.layers]
    named += [("child", child) for child in manifest.manifests]
    return [(kind, str(descriptor.digest), descriptor.size_bytes) for kind, descriptor in named]


def _check_content(subject: str, content: NamedContent) -> Iterator[Finding]:
    kind, digest = content.reference.kind, content.reference.digest
    match kind:
        case "manifest":
            actual_bytes = content.manifest_bytes
        case "foreign":
            return
        case "absent":
            if content.manifest_bytes is not None:
                message = f"its manifest {digest} was absent and has arrived"
                yield Finding(FindingKind.CHILD_ARRIVED, subject, message)
            return
        case _:
            actual_bytes = content.blob_bytes
    if actual_bytes is None:
        yield Finding(FindingKind.CONTENT_MISSING, subject, f"its {kind} {digest} is not in the repository")
    elif actual_bytes != content.reference.size_bytes:
        message = (
            f"it gives its {kind} {digest} {content.reference.size_bytes} bytes, which has {actual_bytes}"
        )
        yield Finding(FindingKind.SIZE_CLAIM_WRONG, subject, message)
