"""Artifacts and repositories on both databases: lists, scopes, copies, deletion, pulls."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, event, func, insert, select

from homeport.blobs.directory import DirectoryStore
from homeport.control.artifacts import Artifact, ArtifactParts, Artifacts, _list
from homeport.control.errors import ConflictError, NotFoundError, PreconditionError
from homeport.control.repositories import Repositories
from homeport.db.actor import Actor
from homeport.db.artifacts import ArtifactScope
from homeport.db.audit import AuditRecord
from homeport.db.engine import Database
from homeport.db.pulls import count_pulls
from homeport.db.quotas import read_state, set_hard_bytes
from homeport.db.repositories import Location, ensure_project, locate
from homeport.db.schema import (
    EPOCH,
    label,
    manifest,
    manifest_label,
    manifest_reference,
    repository_blob,
    tag,
)
from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.registry.content import SmallContent
from homeport.registry.push import ManifestPush, Pusher
from homeport.registry.uploads import Uploads
from homeport.rules.listing import ListQuery, parse_list_query
from homeport.rules.quota import QuotaExceededError
from homeport.rules.visibility import RepositoryScope

pytestmark = pytest.mark.anyio

ACTOR = Actor("admin", "basic", "127.0.0.1", "tests", "request")
CONFIG = "application/vnd.oci.image.config.v1+json"
EVERYTHING = RepositoryScope(everywhere=True)
ALL_PARTS = ArtifactParts(labels=True, accessories=True, inherited_accessories=True)


def described(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


class Yard:
    """Pushes to a database and a store as the registry does."""

    def __init__(self, database: Database, store: DirectoryStore) -> None:
        self.database = database
        self.artifacts = Artifacts(database)
        self.repositories = Repositories(database)
        self._uploads = Uploads(database, store)
        self._pusher = Pusher(database, SmallContent(store), allows_sparse=False)

    async def locate(self, name: str) -> Location:
        """Return where the name leads; its project is made."""
        await self.database.write(ensure_project, name.partition("/")[0], datetime.now(UTC))
        return await self.database.read(locate, name)

    async def push_image(self, name: str, number: int, *tags: str, **more: object) -> str:
        """Push an image that the number makes unlike others, and return its digest."""
        config = orjson.dumps({"architecture": "amd64", "number": number})
        location = await self.locate(name)
        upload_id = await self._uploads.start(name)

        async def chunks() -> AsyncIterator[bytes]:
            yield config

        await self._uploads.append(name, upload_id, chunks(), offset=None)
        await self._uploads.finish(location, upload_id, Digest.of(config))
        document = {"schemaVersion": 2, "config": described(CONFIG, config), "layers": [], **more}
        return await self.push(name, orjson.dumps(document), mediatype.OCI_MANIFEST, *tags)

    async def push_index(self, name: str, *children: str, tags: tuple[str, ...] = ()) -> str:
        """Push an index of manifests that the repository has."""
        entries = [{"mediaType": mediatype.OCI_MANIFEST, "digest": child, "size": 1} for child in children]
        body = orjson.dumps({"schemaVersion": 2, "manifests": entries})
        return await self.push(name, body, mediatype.OCI_INDEX, *tags)

    async def push(self, name: str, body: bytes, media_type: str, *tags: str) -> str:
        """Push a manifest under the tags, or by digest."""
        location = await self.locate(name)
        for reference in tags or (str(Digest.of(body)),):
            push = ManifestPush(name, reference, (), media_type, body, project_id=location.project_id)
            await self._pusher.put_manifest(ACTOR, push)
        return str(Digest.of(body))

    async def shown(self, name: str, q: str = "", sort: str = "") -> list[Artifact]:
        """Return the first page of the repository's artifacts with every part."""
        location = await self.locate(name)
        assert location.project_id is not None
        scope = ArtifactScope(location.project_id, location.repository_id)
        found, _ = await self.artifacts.page(scope, parse_list_query(q, sort, 1, 10), ALL_PARTS)
        return found

    async def digests(self, name: str, q: str = "", sort: str = "") -> list[str]:
        """Return the digests of the repository's artifacts."""
        return [artifact.stored.digest for artifact in await self.shown(name, q, sort)]


@pytest.fixture
async def yard(database: Database, tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a registry of this test alone."""
    store = DirectoryStore(tmp_path / "store")
    await store.open()
    yield Yard(database, store)
    await store.close()


def count_rows(connection: Connection) -> list[int]:
    tables = (manifest, manifest_reference, tag, repository_blob)
    return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


def pull_of(name: str, digest: str, reference: str, second: int) -> AuditRecord:
    return AuditRecord(
        recorded_at=EPOCH + timedelta(days=20_000, seconds=second),
        operation="pull",
        outcome="success",
        principal="alice",
        auth_method="basic",
        client_address="10.0.0.1",
        user_agent="tests",
        request_id="request",
        repository=name,
        reference=reference,
        digest=digest,
    )


async def test_list_has_every_part_of_each_artifact(yard: Yard) -> None:
    first = await yard.push_image("p/app", 1)
    second = await yard.push_image("p/app", 2, "two", "zwei")
    index = await yard.push_index("p/app", first, second, tags=("all",))
    subject = {"mediaType": mediatype.OCI_INDEX, "digest": index, "size": 1}
    signature = await yard.push_image(
        "p/app", 3, subject=subject, artifactType="application/vnd.cncf.notary.signature"
    )

    found = await yard.shown("p/app")

    assert [artifact.stored.digest for artifact in found] == [index, second]
    shown = found[0]
    assert [child.stored.digest for child in shown.children] == [first, second]
    assert [tag.name for tag in shown.tags or ()] == ["all"]
    assert [accessory.digest for accessory in shown.accessories or ()] == [signature]
    assert {tag.name for tag in found[1].tags or ()} == {"two", "zwei"}
    assert [accessory.digest for accessory in found[1].inherited_accessories or ()] == [signature]


async def test_filters_and_orders(yard: Yard) -> None:
    pushed = [await yard.push_image("p/app", number, f"v{number}") for number in range(3)]
    untagged = await yard.push_image("p/app", 9)

    assert await yard.digests("p/app", "tags=nil") == [untagged]
    assert await yard.digests("p/app", "tags=~V", "push_time") == pushed
    assert await yard.digests("p/app", "tags={v0 v2}", "-push_time") == [pushed[2], pushed[0]]
    assert await yard.digests("p/app", "tags=v1,type=IMAGE") == [pushed[1]]
    assert await yard.digests("p/app", "pull_time=[2001-01-01~]") == []
    assert await yard.digests("p/app", "push_time=[2001-01-01~2002-01-01]") == []
    assert len(await yard.digests("p/app", "media_type=" + CONFIG, "size,-pull_time")) == 4


async def test_project_list_keeps_to_the_scope_and_to_the_latest(yard: Yard) -> None:
    await yard.push_image("p/base-a", 1, "v1")
    newest = await yard.push_image("p/base-a", 2, "v2")
    other = await yard.push_image("p/team/app", 3, "v1")
    await yard.push_image("q/app", 4, "v1")
    project_id = (await yard.locate("p/base-a")).project_id
    assert project_id is not None
    query = parse_list_query("media_type=" + CONFIG, "", 1, 10)

    async def names(scope: RepositoryScope, *, latest_only: bool) -> list[str]:
        wanted = ArtifactScope(project_id, repositories=scope, latest_only=latest_only)
        found, total = await yard.artifacts.page(wanted, query, ArtifactParts())
        assert total == len(found)
        return [artifact.stored.digest for artifact in found]

    assert await names(EVERYTHING, latest_only=True) == [other, newest]
    assert len(await names(EVERYTHING, latest_only=False)) == 3
    pattern = RepositoryScope(patterns=((project_id, "^[^/]+/(base\\-[^/]*)$"),))
    assert await names(pattern, latest_only=True) == [newest]
    assert await names(RepositoryScope(in_public=True), latest_only=False) == []
    assert await names(RepositoryScope(), latest_only=False) == []
    denied = RepositoryScope(everywhere=True, except_in=frozenset({project_id}))
    assert await names(denied, latest_only=False) == []


async def test_repositories_keep_to_the_scope(yard: Yard) -> None:
    for name in ("p/a", "p/b", "q/a"):
        await yard.push_image(name, 1, "v1")
    project_id = (await yard.locate("p/a")).project_id
    assert project_id is not None

    async def names(scope: RepositoryScope) -> list[str]:
        found, total = await yard.repositories.page(scope, ListQuery())
        assert total == len(found)
        assert all(repository.artifact_count == 1 for repository in found)
        return [repository.stored.name for repository in found]

    assert await names(EVERYTHING) == ["q/a", "p/b", "p/a"]
    assert await names(RepositoryScope(projects=frozenset({project_id}))) == ["p/b", "p/a"]
    assert await names(RepositoryScope(patterns_everywhere=("^[^/]+/(a)$",))) == ["q/a", "p/a"]
    assert await names(RepositoryScope(patterns=((project_id, "^[^/]+/(b)$"),))) == ["p/b"]


async def test_copy_makes_links_and_deletion_leaves_nothing(yard: Yard) -> None:
    first, second = [await yard.push_image("p/app", number) for number in (1, 2)]
    index = await yard.push_index("p/app", first, second, tags=("all",))
    before = await yard.database.read(count_rows)
    source, target = await yard.locate("p/app"), await yard.locate("q/copy")

    assert await yard.artifacts.copy(ACTOR, source, "all", target) == index
    with pytest.raises(ConflictError):
        await yard.artifacts.copy(ACTOR, source, index, target)

    assert await yard.database.read(count_rows) == [2 * count for count in before]
    with pytest.raises(PreconditionError):
        await yard.artifacts.delete(ACTOR, "q/copy", first)
    await yard.artifacts.delete(ACTOR, "q/copy", "all")
    assert (await yard.database.read(count_rows))[:3] == before[:3]
    await yard.repositories.delete(ACTOR, "q/copy")
    await yard.repositories.delete(ACTOR, "p/app")
    assert await yard.database.read(count_rows) == [0, 0, 0, 0]
    with pytest.raises(NotFoundError):
        await yard.repositories.delete(ACTOR, "p/app")


async def test_copy_counts_against_the_quota_until_it_is_deleted(yard: Yard) -> None:
    await yard.push_image("p/app", 1, "v1")
    source, target = await yard.locate("p/app"), await yard.locate("q/copy")
    assert target.project_id is not None
    before = await yard.database.read(count_rows)
    now = datetime.now(UTC)

    await yard.database.write(set_hard_bytes, target.project_id, 10, now)
    with pytest.raises(QuotaExceededError):
        await yard.artifacts.copy(ACTOR, source, "v1", target)
    assert await yard.database.read(count_rows) == before
    await yard.database.write(set_hard_bytes, target.project_id, -1, now)
    await yard.artifacts.copy(ACTOR, source, "v1", target)
    used = [await yard.database.read(read_state, id_) for id_ in (source.project_id or 0, target.project_id)]
    await yard.repositories.delete(ACTOR, "q/copy")
    freed = await yard.database.read(read_state, target.project_id)

    assert used[0] is not None
    assert used[1] is not None
    assert freed is not None
    assert used[0].used_bytes == used[1].used_bytes > 0
    assert freed.used_bytes == 0


async def test_copies_that_cross_each_other_all_end(yard: Yard) -> None:
    for name, number in (("p/a", 1), ("p/b", 2)):
        await yard.push_image(name, number, f"v{number}")
    a, b = await yard.locate("p/a"), await yard.locate("p/b")

    async with asyncio.timeout(30):
        await asyncio.gather(
            *(yard.artifacts.copy(ACTOR, a, "v1", b), yard.artifacts.copy(ACTOR, b, "v2", a)),
            *(yard.push_image("p/a", number, "new") for number in range(10, 15)),
            *(
                yard.database.write(
                    count_pulls, [pull_of("p/a", "sha256:x", "v1", 1), pull_of("p/b", "y", "v2", 1)]
                )
                for _ in range(5)
            ),
        )

    assert len(await yard.digests("p/b")) == 2
    assert len(await yard.digests("p/a")) == 7


async def test_copy_while_its_source_is_deleted_is_whole_or_nothing(yard: Yard) -> None:
    target = await yard.locate("q/copy")
    copied = 0
    for number in range(6):
        name = f"p/app{number}"
        digest = await yard.push_image(name, number)
        await yard.push_index(name, digest, tags=("all",))
        source = await yard.locate(name)
        outcomes = await asyncio.gather(
            yard.artifacts.copy(ACTOR, source, "all", target),
            yard.repositories.delete(ACTOR, name),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], str | NotFoundError)
        copied += isinstance(outcomes[0], str)

    rows = await yard.database.read(count_rows)

    assert rows == [2 * copied, 2 * copied, copied and 1, copied]


async def test_pulls_are_counted_once_each_and_the_last_time_stays(yard: Yard) -> None:
    digest = await yard.push_image("p/app", 1, "v1", "v2")
    records = [
        pull_of("p/app", digest, "v1", 10),
        pull_of("p/app", digest, digest, 20),
        pull_of("p/gone", digest, "v1", 30),
    ]

    await yard.database.write(count_pulls, records)
    await yard.database.write(count_pulls, records[:1])
    await yard.database.write(count_pulls, [])

    [artifact] = await yard.shown("p/app")
    at = EPOCH + timedelta(days=20_000)
    assert artifact.stored.pulled_at == at + timedelta(seconds=20)
    assert {tag.name: tag.pulled_at for tag in artifact.tags or ()} == {
        "v1": at + timedelta(seconds=10),
        "v2": None,
    }
    assert (await yard.repositories.get("p/app")).stored.pull_count == 3


async def test_labels_go_with_their_artifact(yard: Yard) -> None:
    digest = await yard.push_image("p/app", 1, "v1")

    def add(connection: Connection) -> int:
        values = {"name": "l", "created_at": EPOCH, "updated_at": EPOCH}
        key = connection.execute(insert(label).values(**values)).inserted_primary_key
        return int(key[0]) if key else 0

    label_id = await yard.database.write(add)
    await yard.artifacts.add_label(ACTOR, "p/app", "v1", label_id)
    assert await yard.digests("p/app", f"labels=({label_id})") == [digest]

    await yard.artifacts.delete(ACTOR, "p/app", digest)

    count = select(func.count()).select_from(manifest_label)
    assert await yard.database.read(lambda connection: connection.execute(count).scalar_one()) == 0


async def test_page_costs_as_many_queries_for_many_artifacts_as_for_few(yard: Yard) -> None:
    """Tags, labels, children and accessories of a page come in one query each."""
    await yard.push_image("p/few", 1, "v1")
    children = [await yard.push_image("p/many", number, f"v{number}") for number in range(8)]
    await yard.push_index("p/many", *children, tags=("all",))
    await yard.push_index("p/few", await yard.push_image("p/few", 1), tags=("all",))
    counts = []

    for name in ("p/few", "p/many"):
        location = await yard.locate(name)
        assert location.project_id is not None
        scope = ArtifactScope(location.project_id, location.repository_id)
        statements: list[str] = []

        def count(connection: Connection, scope: ArtifactScope = scope, into: list[str] = statements) -> None:
            def note(*args: Any) -> None:
                into.append(args[2])

            event.listen(connection, "before_cursor_execute", note)
            try:
                _list(connection, scope, ListQuery(), ALL_PARTS)
            finally:
                event.remove(connection, "before_cursor_execute", note)

        await yard.database.read(count)
        counts.append(len(statements))

    assert counts[0] == counts[1] <= 9
