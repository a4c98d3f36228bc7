"""Any order of calls on two stores of one storage, beside a model that is too simple to be wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule
from tests.contract.store_recipe import (
    ClientGoneError,
    StoreRecipe,
    all_digests,
    body,
    broken_body,
    content_of,
)

from homeport.blobs.store import (
    BlobDamagedError,
    BlobUnknownError,
    DigestMismatchError,
    OffsetMismatchError,
    UploadUnknownError,
)
from homeport.oci.digest import ALGORITHMS, Digest

T = TypeVar("T")
Body = Callable[..., AsyncIterator[bytes]]

OWNERS = st.sampled_from(["library/nginx", "library/nginx/sub", "team/app"])
PROCESSES = st.integers(0, 1)
HASHES = st.sampled_from(ALGORITHMS)
BYTES = st.binary(max_size=40) | st.builds(
    lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.sampled_from([200_000, 1_500_000])
)


@dataclass(slots=True, eq=False)
class Session:
    """What the model knows of a session; a dead one is still asked about."""

    upload_id: str
    owner: str
    content: bytes = b""
    is_alive: bool = True


class BlobStoreMachine(RuleBasedStateMachine):
    """Each rule makes one call and compares it with the model."""

    sessions = Bundle("sessions")
    contents = Bundle("contents")

    def __init__(self, recipe: StoreRecipe) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stores = (recipe.build(), recipe.build())
        self.blobs: dict[Digest, bytes] = {}
        for store in self.stores:
            self.run(store.open())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what the call returns."""
        return self.runner.run(call)

    def fails_as_unknown(self, call: Coroutine[Any, Any, object]) -> None:
        """Check that the session is not known."""
        try:
            self.run(call)
        except UploadUnknownError:
            return
        raise AssertionError("the session should not be known")

    @rule(target=sessions, process=PROCESSES, owner=OWNERS, algorithm=st.none() | HASHES)
    def open_upload(self, process: int, owner: str, algorithm: str | None) -> Session:
        """Begin a session."""
        return Session(self.run(self.stores[process].open_upload(owner, algorithm)), owner)

    @rule(
        target=contents,
        process=PROCESSES,
        session=sessions,
        chunks=st.lists(BYTES, max_size=3),
        chosen=st.sampled_from([body, broken_body]),
    )
    def append(self, process: int, session: Session, chunks: list[bytes], chosen: Body) -> bytes:
        """Append where the session is, at its offset or, in the second process, without one."""
        offset = len(session.content) if process == 0 else None
        call = self.stores[process].append(session.upload_id, session.owner, chosen(*chunks), offset=offset)
        if not session.is_alive:
            self.fails_as_unknown(call)
            return b""
        session.content += b"".join(chunks)
        try:
            status = self.run(call)
        except ClientGoneError:
            assert chosen is broken_body
        else:
            assert chosen is body
            assert status.size_bytes == len(session.content)
        return session.content

    @rule(process=PROCESSES, session=sessions, shift=st.integers(-50, 50).filter(bool))
    def append_elsewhere(self, process: int, session: Session, shift: int) -> None:
        """Append at a place where the session is not."""
        offset = len(session.content) + shift
        call = self.stores[process].append(session.upload_id, session.owner, body(b"lost"), offset=offset)
        if not session.is_alive:
            self.fails_as_unknown(call)
            return
        try:
            self.run(call)
        except OffsetMismatchError as error:
            assert error.size_bytes == len(session.content)  # noqa: PT017 - no pytest in a machine
        else:
            raise AssertionError("the offset should have been refused")

    @rule(process=PROCESSES, session=sessions)
    def ask(self, process: int, session: Session) -> None:
        """Ask for the status."""
        call = self.stores[process].upload_status(session.upload_id, session.owner)
        if session.is_alive:
            assert self.run(call).size_bytes == len(session.content)
        else:
            self.fails_as_unknown(call)

    @rule(process=PROCESSES, session=sessions, owner=OWNERS)
    def trespass(self, process: int, session: Session, owner: str) -> None:
        """Use the session of another owner."""
        if owner != session.owner:
            self.fails_as_unknown(self.stores[process].cancel(session.upload_id, owner))
            self.fails_as_unknown(
                self.stores[process].commit(session.upload_id, owner, Digest.of(session.content))
            )

    @rule(process=PROCESSES, session=sessions, algorithm=HASHES)
    def commit(self, process: int, session: Session, algorithm: str) -> None:
        """Commit with the right digest."""
        digest = Digest.of(session.content, algorithm)
        call = self.stores[process].commit(session.upload_id, session.owner, digest)
        if not session.is_alive:
            self.fails_as_unknown(call)
            return
        assert self.run(call) == len(session.content)
        self.blobs[digest] = session.content
        session.is_alive = False

    @rule(process=PROCESSES, session=sessions, content=contents, algorithm=HASHES)
    def commit_as(self, process: int, session: Session, content: bytes, algorithm: str) -> None:
        """Commit with the digest of what some session, perhaps this one, once had."""
        digest = Digest.of(content, algorithm)
        if session.content == content or not session.is_alive:
            return
        try:
            self.run(self.stores[process].commit(session.upload_id, session.owner, digest))
        except DigestMismatchError as error:
            assert error.actual == Digest.of(session.content, algorithm)  # noqa: PT017 - as above
        else:
            raise AssertionError("the digest should have been refused")
        session.is_alive = False

    @rule(process=PROCESSES, session=consumes(sessions))
    def cancel(self, process: int, session: Session) -> None:
        """End the session."""
        call = self.stores[process].cancel(session.upload_id, session.owner)
        if session.is_alive:
            self.run(call)
        else:
            self.fails_as_unknown(call)
        self.fails_as_unknown(self.stores[0].upload_status(session.upload_id, session.owner))

    @rule(process=PROCESSES, content=contents, algorithm=HASHES)
    def put(self, process: int, content: bytes, algorithm: str) -> None:
        """Put content."""
        digest = Digest.of(content, algorithm)
        self.run(self.stores[process].put(digest, content))
        self.blobs[digest] = content

    @rule(process=PROCESSES, content=contents, algorithm=HASHES)
    def delete(self, process: int, content: bytes, algorithm: str) -> None:
        """Delete content that may be there."""
        digest = Digest.of(content, algorithm)
        self.run(self.stores[process].delete(digest))
        self.blobs.pop(digest, None)

    @rule(process=PROCESSES, content=contents, algorithm=HASHES, ends=st.tuples(st.integers(), st.integers()))
    def read(self, process: int, content: bytes, algorithm: str, ends: tuple[int, int]) -> None:
        """Read a range of content that may be there."""
        digest = Digest.of(content, algorithm)
        start, end = sorted(number % (len(content) + 2) for number in ends)

        async def taken() -> bytes | None:
            chunks = self.stores[process].read(digest, start, end)
            try:
                return b"".join([chunk async for chunk in chunks])
            except (BlobUnknownError, BlobDamagedError):
                return None

        is_there = digest in self.blobs and end <= len(content)
        assert self.run(taken()) == (content[start:end] if is_there else None)

    def teardown(self) -> None:
        """Compare everything, then let go."""
        try:
            for store in self.stores:
                assert self.run(all_digests(store)) == sorted(map(str, self.blobs))
            for digest, content in self.blobs.items():
                assert self.run(content_of(self.stores[0], digest)) == content
        finally:
            for store in self.stores:
                self.run(store.close())
            self.runner.close()
