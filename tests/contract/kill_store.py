"""A program that kills processes using a blob store and reports, as JSON, what they should not have left.

Arguments: the module, function and argument of a StoreRecipe, then `steps` (a process is killed before each
of its calls to the operating system in turn) or `moments` (after random times).
"""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import FrameType

from tests.contract.store_recipe import StoreRecipe, body, content_of, random_bytes

from homeport.blobs.store import BlobStore, UploadUnknownError
from homeport.oci.digest import Digest

OWNER = "library/nginx"
CONTENT = random_bytes(4_500_000)
MAX_STEPS = 2000
MOMENTS = 40
LONGEST_LIFE_S = 0.08
SYSTEM_MODULES = frozenset({"posix", "fcntl", "_io", "io"})

Acknowledge = Callable[[str], None]


def content(number: int) -> bytes:
    """Return content that no other number has, large enough for every way that a store goes."""
    return b"%d:" % number + CONTENT


async def work(store: BlobStore, number: int, acknowledge: Acknowledge) -> None:
    """Use the store in every way, telling what has been promised."""
    whole = content(number)
    half = len(whole) - 300_000
    upload_id = await store.open_upload(OWNER)
    acknowledge(f"opened {number} {upload_id}")
    await store.append(upload_id, OWNER, in_pieces(whole[:half]), offset=0)
    acknowledge(f"appended {number} {half}")
    await store.append(upload_id, OWNER, in_pieces(whole[half:]), offset=half)
    acknowledge(f"appended {number} {len(whole)}")
    await store.commit(upload_id, OWNER, Digest.of(whole))
    acknowledge(f"committed {number}")
    small = b"small %d" % number
    await store.put(Digest.of(small, "sha512"), small)
    acknowledge(f"put {number}")
    await store.cancel(await store.open_upload(OWNER), OWNER)
    await store.delete(Digest.of(small, "sha512"))
    acknowledge(f"deleted {number}")


async def in_pieces(whole: bytes) -> AsyncIterator[bytes]:
    """Yield the bytes as a server would."""
    for start in range(0, len(whole), 400_000):
        yield whole[start : start + 400_000]


class Death:
    """Kills this process before its n-th call to the operating system after `arm`, in whatever thread."""

    def __init__(self, last_step: int) -> None:
        self._last_step = last_step
        self._steps: Iterator[int] = itertools.count()
        self._is_armed = False
        threading.setprofile(self._look)
        sys.setprofile(self._look)

    def arm(self) -> None:
        """Begin to count."""
        self._is_armed = True

    def _look(self, _frame: FrameType, event: str, function: object) -> None:
        if not self._is_armed or event != "c_call":
            return
        owner = getattr(function, "__self__", None)
        module = getattr(function, "__module__", None) or type(owner).__module__
        if module in SYSTEM_MODULES and next(self._steps) == self._last_step:
            os.kill(os.getpid(), signal.SIGKILL)


class Victim:
    """A child process at work; what it acknowledged before its death is kept."""

    def __init__(self, run: Callable[[Acknowledge], None]) -> None:
        reading, writing = os.pipe()
        self._reading = reading
        self.process_id = os.fork()
        if self.process_id == 0:
            os.close(reading)
            with suppress(BaseException):
                run(lambda line: void(os.write(writing, f"{line}\n".encode())))
                os._exit(0)
            os._exit(1)
        os.close(writing)

    def end(self) -> tuple[int, list[list[str]]]:
        """Wait for its end; return its exit status (negative for a signal) and the words it left."""
        with os.fdopen(self._reading) as lines:
            acknowledged = [line.split() for line in lines if line.endswith("\n")]
        _, status = os.waitpid(self.process_id, 0)
        return os.waitstatus_to_exitcode(status), acknowledged


def void(_: object) -> None:
    """Return nothing."""


class Inspector:
    """Looks at a storage after a death."""

    def __init__(self, recipe: StoreRecipe) -> None:
        self._recipe = recipe
        self.faults: list[str] = []

    def inspect(self, what: str, acknowledged: list[list[str]]) -> None:
        """Note every broken promise, go on with the session that was under way, and tidy up."""
        asyncio.run(self._inspect(what, acknowledged))

    async def _inspect(self, what: str, acknowledged: list[list[str]]) -> None:
        store = self._recipe.build()
        await store.open()
        await self._check_names(store, what)
        sizes = {words[1]: int(words[2]) for words in acknowledged if words[0] == "appended"}
        done = {(words[0], words[1]) for words in acknowledged}
        for words in acknowledged:
            if words[0] == "opened" and ("committed", words[1]) not in done:
                await self._resume(store, what, words, sizes.get(words[1], 0))
            if words[0] == "committed" and await store.stat(Digest.of(content(int(words[1])))) is None:
                self.faults.append(f"{what}: a committed blob is missing")
            if words[0] == "deleted":
                small = Digest.of(b"small %d" % int(words[1]), "sha512")
                if await store.stat(small) is not None:
                    self.faults.append(f"{what}: a deleted blob is there")
        await self._check_names(store, what)
        later = datetime.now(UTC) + timedelta(hours=1)
        await store.expire_uploads(later)
        if await store.expire_uploads(later) != 0:
            self.faults.append(f"{what}: sessions cannot be expired")
        for digest in [digest async for digest in store.digests()]:
            await store.delete(digest)
        await store.close()

    async def _check_names(self, store: BlobStore, what: str) -> None:
        async for digest in store.digests():
            if Digest.of(await content_of(store, digest), digest.algorithm) != digest:
                self.faults.append(f"{what}: {digest} holds something else")
        async for name in store.strays():
            self.faults.append(f"{what}: {name} lies among the blobs")

    async def _resume(self, store: BlobStore, what: str, words: list[str], promised_bytes: int) -> None:
        whole = content(int(words[1]))
        digest = Digest.of(whole)
        try:
            arrived = (await store.upload_status(words[2], OWNER)).size_bytes
        except UploadUnknownError:
            if await store.stat(digest) is None:
                self.faults.append(f"{what}: a session is lost")
            return
        if arrived < promised_bytes:
            self.faults.append(f"{what}: {promised_bytes} bytes were promised, {arrived} are there")
        await store.append(words[2], OWNER, body(whole[arrived:]), offset=arrived)
        await store.commit(words[2], OWNER, digest)
        if await content_of(store, digest) != whole:
            self.faults.append(f"{what}: a resumed upload holds something else")


def kill_at_steps(recipe: StoreRecipe, inspector: Inspector) -> int:
    """Kill before each step in turn, until a process comes to its end; return the number of kills."""

    def run(step: int, acknowledge: Acknowledge) -> None:
        death = Death(step)

        async def working() -> None:
            store = recipe.build()
            await store.open()
            death.arm()
            await work(store, step, acknowledge)

        asyncio.run(working())

    for step in range(MAX_STEPS):
        victim = Victim(lambda acknowledge, step=step: run(step, acknowledge))  # type: ignore[misc]
        status, acknowledged = victim.end()
        if status == 0:
            return step
        if status != -signal.SIGKILL:
            inspector.faults.append(f"step {step}: the process ended with {status}")
        inspector.inspect(f"step {step}", acknowledged)
    raise AssertionError("the work has no end")


def kill_at_moments(recipe: StoreRecipe, inspector: Inspector) -> int:
    """Kill after random times, during the first opening too; return the number of kills."""

    def run(acknowledge: Acknowledge) -> None:
        async def working() -> None:
            store = recipe.build()
            await store.open()
            for number in itertools.count():
                await work(store, number, acknowledge)

        asyncio.run(working())

    moments = random.Random(2)  # noqa: S311 - times, not secrets
    for _ in range(MOMENTS):
        victim = Victim(run)
        life_s = moments.uniform(0, LONGEST_LIFE_S)
        time.sleep(life_s)
        os.kill(victim.process_id, signal.SIGKILL)
        _, acknowledged = victim.end()
        inspector.inspect(f"after {life_s:.4f} s", acknowledged)
    return MOMENTS


def main(module: str, function: str, argument: str, mode: str) -> None:
    """Run one mode and print the report."""
    recipe = StoreRecipe(module, function, argument)
    recipe.build()
    inspector = Inspector(recipe)
    kills = {"steps": kill_at_steps, "moments": kill_at_moments}[mode](recipe, inspector)
    sys.stdout.write(json.dumps({"kills": kills, "faults": inspector.faults}))


if __name__ == "__main__":
    main(*sys.argv[1:])
