"""Taking tags, manifests and blobs out of a repository."""

from sqlalchemy import Connection

from homeport.db.actor import Actor, Target
from homeport.db.audit import add_records
from homeport.db.contents import is_blob_referenced, unlink_blob
from homeport.db.engine import Database
from homeport.db.manifests import delete_manifest, delete_tag, find_by_digest, is_child_of_index
from homeport.db.repositories import lock_repository
from homeport.oci.digest import Digest, parse_digest
from homeport.oci.name import is_tag
from homeport.registry.errors import (
    BlobUnknownToRepositoryError,
    ManifestUnknownError,
    NameUnknownError,
    StillReferencedError,
)


class Deleter:
    """Deletes at once and whole: after the answer nothing deleted is found under its name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_manifest(self, actor: Actor, repository_name: str, reference: str) -> None:
        """Delete a tag, or a manifest by digest with every tag on it.

        Raises NameUnknownError, ManifestUnknownError, DigestInvalidError, and StillReferencedError for a
        manifest that an index of the repository names.
        """
        if ":" in reference:
            parse_digest(reference)
            await self._database.write(_delete_manifest, actor, repository_name, reference)
            return
        if not is_tag(reference):
            raise ManifestUnknownError(repository_name, reference)
        await self._database.write(_delete_tag, actor, repository_name, reference)

    async def delete_blob(self, actor: Actor, repository_name: str, digest: Digest) -> None:
        """Take the blob out of the repository; other repositories keep theirs.

        Raises BlobUnknownToRepositoryError, and StillReferencedError while a manifest names the blob.
        """
        await self._database.write(_delete_blob, actor, repository_name, str(digest))


def _delete_tag(connection: Connection, actor: Actor, name: str, tag: str) -> None:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise NameUnknownError(name)
    digest = delete_tag(connection, repository_id, tag)
    if digest is None:
        raise ManifestUnknownError(name, tag)
    add_records(connection, [actor.record("delete", Target(name, tag, digest))])


def _delete_manifest(connection: Connection, actor: Actor, name: str, digest: str) -> None:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise NameUnknownError(name)
    found = find_by_digest(connection, repository_id, digest)
    if found is None:
        raise ManifestUnknownError(name, digest)
    if is_child_of_index(connection, repository_id, digest):
        raise StillReferencedError("manifest", "an index")
    tags = delete_manifest(connection, found.id)
    detail = f"tags: {', '.join(sorted(tags))}"[:4096] if tags else None
    record = actor.record("delete", Target(name, digest, digest), detail=detail)
    add_records(connection, [record])


def _delete_blob(connection: Connection, actor: Actor, name: str, digest: str) -> None:
    repository_id = lock_repository(connection, name)
    if repository_id is None:
        raise BlobUnknownToRepositoryError(digest)
    if is_blob_referenced(connection, repository_id, digest):
        raise StillReferencedError("blob", "a manifest")
    if not unlink_blob(connection, repository_id, digest):
        raise BlobUnknownToRepositoryError(digest)
    record = actor.record("delete", Target(name, digest, digest), detail="blob")
    add_records(connection, [record])
