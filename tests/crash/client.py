"""A client that pushes, mounts, tags, deletes and pulls, and notes in a World what it was promised."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from tests.crash.http import Answer, Connection
from tests.crash.world import Changes, Key, Kind, Session, World

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_HTTP_ERROR = 500


class UnexpectedAnswerError(AssertionError):
    """The server answered, and not as it must."""


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest, its digest, and the blobs that it names."""

    body: bytes
    blobs: tuple[bytes, ...]
    media_type: str = MANIFEST
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.body))

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of the manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of the content."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def make_image(*layers: bytes, **more: object) -> Image:
    """Return an image like no other, with these layers."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "random": os.urandom(8).hex()}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)} for layer in layers],
        **more,
    }
    return Image(json.dumps(manifest).encode(), (config, *layers))


def make_index(*images: Image) -> Image:
    """Return an index of the images."""
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [image.descriptor for image in images],
    }
    return Image(json.dumps(document).encode(), (), INDEX)


class Client:
    """One client of the registry, to be used in `async with`."""

    def __init__(self, url: str, world: World, authorization: str, *, keeps_alive: bool = True) -> None:
        self._world = world
        self._authorization = authorization
        self._connection = Connection(int(url.rpartition(":")[2]), keeps_alive=keeps_alive)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        request_id: str = "",
    ) -> Answer:
        """Return the whole answer; raises LostError when none comes."""
        sent = {"Authorization": self._authorization, **(headers or {})}
        if request_id:
            sent["X-Request-Id"] = request_id
        return await self._connection.ask(method, path, sent, body)

    async def begin_upload(self, repository: str, content: bytes, algorithm: str = "sha256") -> Session:
        """Begin an upload of the content."""
        answer = await self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        _expect(answer, 202)
        session = Session(repository, answer.headers["location"], content, algorithm)
        self._world.sessions[session.location] = session
        return session

    async def append(self, session: Session, size_bytes: int) -> None:
        """Send the next bytes of the content as a chunk."""
        start = session.acknowledged_bytes
        chunk = session.content[start : start + size_bytes]
        headers = {"Content-Range": f"{start}-{start + len(chunk) - 1}"}
        _expect(await self.ask("PATCH", session.location, body=chunk, headers=headers), 202)
        session.acknowledged_bytes += len(chunk)

    async def finish_upload(self, session: Session) -> str:
        """Send what is left and make a blob of all."""
        rest = session.content[session.acknowledged_bytes :]
        digest = digest_of(session.content, session.algorithm)
        session.is_ending = True
        path = f"{session.location}?{urlencode({'digest': digest})}"
        await self._change("PUT", path, self._blob(session.repository, digest, session.content), body=rest)
        del self._world.sessions[session.location]
        return digest

    async def cancel_upload(self, session: Session) -> None:
        """Give the upload up."""
        session.is_ending = True
        _expect(await self.ask("DELETE", session.location), 204)
        del self._world.sessions[session.location]

    async def received_bytes(self, session: Session) -> int | None:
        """Return how much of an upload the server has, or None when it does not know the upload."""
        answer = await self.ask("GET", session.location)
        if answer.status == 404:
            return None
        _expect(answer, 204)
        last = int(answer.headers["range"].rpartition("-")[2])
        # an upload without content is shown as 0-0, one with a single byte too
        return last + 1 if last else 0

    async def push_blob(self, repository: str, content: bytes) -> str:
        """Push a blob with POST and PUT."""
        return await self.finish_upload(await self.begin_upload(repository, content))

    async def push_blob_chunked(self, repository: str, content: bytes, chunks: int = 3) -> str:
        """Push a blob in chunks, ended by a PUT without a body."""
        session = await self.begin_upload(repository, content)
        size_bytes = -(-len(content) // chunks)
        while session.acknowledged_bytes < len(content):
            await self.append(session, size_bytes)
        return await self.finish_upload(session)

    async def push_blob_at_once(self, repository: str, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob with a single POST."""
        digest = digest_of(content, algorithm)
        path = f"/v2/{repository}/blobs/uploads/?{urlencode({'digest': digest})}"
        await self._change("POST", path, self._blob(repository, digest, content), body=content)
        return digest

    async def mount(self, repository: str, digest: str, source: str) -> None:
        """Mount the source's blob."""
        path = f"/v2/{repository}/blobs/uploads/?{urlencode({'mount': digest, 'from': source})}"
        changes = self._blob(repository, digest, self._world.contents[digest])
        await self._change("POST", path, changes, operation="mount", records=1)

    async def push_image(self, repository: str, image: Image, tag: str) -> None:
        """Push the blobs of an image that the repository does not have, then the image."""
        for content in image.blobs:
            if self._world.possible(Key(Kind.BLOB, repository, digest_of(content))) != {digest_of(content)}:
                await self.push_blob(repository, content)
        await self.push_manifest(repository, image, tag)

    async def push_manifest(self, repository: str, image: Image, *tags: str) -> None:
        """Push a manifest whose blobs are there, under one tag, or by digest with more tags or none."""
        self._world.contents[image.digest] = image.body
        changes = {Key(Kind.MANIFEST, repository, image.digest): image.digest}
        changes |= {Key(Kind.TAG, repository, tag): image.digest for tag in tags}
        reference = tags[0] if len(tags) == 1 else image.digest
        query = "" if len(tags) == 1 else "?" + urlencode([("tag", tag) for tag in tags])
        path = f"/v2/{repository}/manifests/{reference}{query}"
        await self._change(
            "PUT",
            path,
            changes,
            body=image.body,
            content_type=image.media_type,
            operation="push",
            records=max(len(tags), 1),
        )

    async def delete_tag(self, repository: str, tag: str) -> None:
        """Delete a tag."""
        changes = {Key(Kind.TAG, repository, tag): None}
        await self._change(
            "DELETE", f"/v2/{repository}/manifests/{tag}", changes, operation="delete", records=1
        )

    async def delete_manifest(self, repository: str, digest: str, *tags: str) -> None:
        """Delete a manifest with the tags that it has."""
        keys = [Key(Kind.MANIFEST, repository, digest), *(Key(Kind.TAG, repository, tag) for tag in tags)]
        await self._change(
            "DELETE",
            f"/v2/{repository}/manifests/{digest}",
            dict.fromkeys(keys),
            operation="delete",
            records=1,
        )

    async def delete_blob(self, repository: str, digest: str) -> None:
        """Delete a blob."""
        changes = {Key(Kind.BLOB, repository, digest): None}
        await self._change(
            "DELETE", f"/v2/{repository}/blobs/{digest}", changes, operation="delete", records=1
        )

    async def look(self, key: Key) -> str | None:
        """Return what is under the name now, None for nothing; fails when one byte of it is wrong."""
        what = "blobs" if key.kind is Kind.BLOB else "manifests"
        path = f"/v2/{key.repository}/{what}/{key.name}"
        if key.kind is Kind.BLOB:
            answer = await self.ask("GET", path)
        else:
            sent = self._world.begin("pull", {}, 1)
            answer = await self.ask("GET", path, request_id=sent.request_id)
            (self._world.acknowledge if answer.status == 200 else self._world.refuse)(sent)
        if answer.status == 404:
            return None
        _expect(answer, 200)
        digest = answer.headers["docker-content-digest"]
        algorithm = digest.partition(":")[0]
        assert digest_of(answer.body, algorithm) == digest, f"{path} has wrong bytes"
        assert answer.body == self._world.contents[digest]
        assert key.kind is Kind.TAG or digest == key.name
        return digest

    async def settle(self, keys: Sequence[Key]) -> None:
        """Look at the names and compare them with what may be seen."""
        self._world.settle({key: await self.look(key) for key in keys})

    async def check_lists(self, repository: str) -> None:
        """Compare the list of tags, and the referrers of each subject, with what is seen under the names."""
        keys = [key for key in self._world.all_keys() if key.repository == repository]
        seen = {key.name for key in keys if self._world.value(key) is not None}
        expected = sorted(key.name for key in keys if key.kind is Kind.TAG and key.name in seen)
        listed: list[str] = []
        while page := await self._list_tags(repository, listed[-1:]):
            listed += page
        assert listed == expected
        subjects: dict[str, set[str]] = {}
        for key in keys:
            if key.kind is Kind.MANIFEST and key.name in seen:
                subject = json.loads(self._world.contents[key.name]).get("subject")
                if subject is not None:
                    subjects.setdefault(subject["digest"], set()).add(key.name)
        for subject, referrers in subjects.items():
            answer = await self.ask("GET", f"/v2/{repository}/referrers/{subject}")
            _expect(answer, 200)
            assert {entry["digest"] for entry in json.loads(answer.body)["manifests"]} == referrers

    async def settle_uploads(self, *, resumes: Callable[[Session], bool], repository: str = "") -> None:
        """Go on with every upload that was cut off, or give it up; none may lack what was acknowledged."""
        for session in list(self._world.sessions.values()):
            if repository not in {"", session.repository}:
                continue
            received = await self.received_bytes(session)
            if received is None:
                assert session.is_ending, f"the server has forgotten {session.location}"
                del self._world.sessions[session.location]
                continue
            assert session.acknowledged_bytes <= received <= len(session.content)
            session.acknowledged_bytes = received
            if resumes(session):
                await self.finish_upload(session)
            else:
                await self.cancel_upload(session)

    async def _list_tags(self, repository: str, after: Sequence[str]) -> list[str]:
        query = urlencode([("n", 100), *(("last", tag) for tag in after)])
        answer = await self.ask("GET", f"/v2/{repository}/tags/list?{query}")
        if answer.status == 404:
            return []
        _expect(answer, 200)
        return list(json.loads(answer.body)["tags"] or [])

    def _blob(self, repository: str, digest: str, content: bytes) -> Changes:
        self._world.contents[digest] = content
        return {Key(Kind.BLOB, repository, digest): digest}

    async def _change(
        self,
        method: str,
        path: str,
        changes: Changes,
        *,
        body: bytes = b"",
        content_type: str | None = None,
        operation: str = "",
        records: int = 0,
    ) -> None:
        sent = self._world.begin(operation, changes, records)
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await self.ask(method, path, body=body, headers=headers, request_id=sent.request_id)
        if answer.status in {201, 202}:
            self._world.acknowledge(sent)
        elif answer.status < _HTTP_ERROR:
            self._world.refuse(sent)
        _expect(answer, 201, 202)


def basic(user: str, password: str) -> str:
    """Return the Authorization header of an account."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def sign_in(url: str, authorization: str, *repositories: str) -> str:
    """Return the header with a token for the repositories, which workers check without a password."""
    scopes = [("scope", f"repository:{name}:pull,push,delete") for name in repositories]
    async with Client(url, World(), authorization) as client:
        answer = await client.ask("GET", f"/service/token?{urlencode([('service', 'homeport'), *scopes])}")
    _expect(answer, 200)
    return f"Bearer {json.loads(answer.body)['token']}"


def _expect(answer: Answer, *statuses: int) -> None:
    if answer.status not in statuses:
        raise UnexpectedAnswerError(f"{answer.status} instead of {statuses}: {answer.body[:500]!r}")
