"""What an answer promises is on the disk before the answer leaves: the order of the flushes, step by step.

A kill shows what the kernel still knows; only the order of the flushes says what a power failure leaves.
"""

import asyncio
import os
import re
from collections.abc import Awaitable
from pathlib import Path

import pytest
from tests.crash.client import Client, make_image
from tests.crash.conftest import NewHouse
from tests.crash.house import House
from tests.crash.kill_switch import Step
from tests.crash.scenarios import HERE, THERE
from tests.crash.world import Key, Kind

pytestmark = pytest.mark.anyio

KINDS = (
    ("uploads/", "upload"),
    ("blobs/", "blob"),
    ("homeport.db-wal", "log"),
    ("homeport.db", "database"),
    ("journal/", "journal"),
    ("socket:", "client"),
)
WORDS = {
    "fsync": "flush",
    "fdatasync": "flush",
    "pwrite64": "write",
    "write": "write",
    "writev": "write",
    "rename": "rename",
    "sendto": "answer",
    "sendmsg": "answer",
    "send": "answer",
}
COMMIT = ["write log", "flush log"]


def spell(step: Step, data: Path) -> str:
    """Return what a step does to what: `flush blob`, `flush blobs` for a directory of them."""
    path = step.path.removeprefix(f"{data}/")
    kind = next((name for start, name in KINDS if path.startswith(start)), path)
    if kind == "blob" and re.fullmatch(r"blobs/sha\d+/\w\w", path):
        kind = "blobs"
    word = WORDS.get(step.call, step.call)
    return "answer" if kind == "client" else f"{word} {kind}"


async def steps_of(house: House, act: Awaitable[object]) -> list[str]:
    """Return the steps that count, up to the last answer; the same ones in a row only once."""
    house.switch.record(house.web_pids())
    await act
    await asyncio.sleep(0.05)
    house.switch.disarm()
    words = [spell(step, house.settings.data.absolute()) for step in house.switch.recorded]
    kept = [word for word in words if word.startswith(("flush", "write", "rename", "answer"))]
    return [word for word, before in zip(kept, ["", *kept], strict=False) if word != before]


async def test_answer_to_a_push_follows_the_flushes(new_house: NewHouse) -> None:
    house = await new_house(workers=1)
    image = make_image()
    async with Client(house.server.url, house.world, house.authorization) as client:
        await client.push_blob(THERE, os.urandom(100))

        pushed = await steps_of(house, client.push_blob(HERE, image.blobs[0]))
        named = await steps_of(house, client.push_manifest(HERE, image, "latest"))
        moved = await steps_of(house, client.push_manifest(HERE, image, "a", "b"))

    blob = ["write upload", "flush upload", "rename upload", "flush blobs"]
    assert pushed == ["answer", *blob, *COMMIT, "answer"]
    assert named == [*COMMIT, "answer"]
    assert moved == [*COMMIT, "answer"]


async def test_answer_to_a_mount_or_a_delete_follows_the_flush(new_house: NewHouse) -> None:
    house = await new_house(workers=1)
    image = make_image()
    async with Client(house.server.url, house.world, house.authorization) as client:
        await client.push_image(THERE, image, "latest")
        digest = await client.push_blob(THERE, os.urandom(100))

        mounted = await steps_of(house, client.mount(HERE, digest, THERE))
        untagged = await steps_of(house, client.delete_tag(THERE, "latest"))
        deleted = await steps_of(house, client.delete_manifest(THERE, image.digest))
        dropped = await steps_of(house, client.delete_blob(THERE, digest))

    assert mounted == untagged == deleted == dropped == [*COMMIT, "answer"]


@pytest.mark.parametrize(("setting", "flush"), [("false", []), ("true", ["flush journal"])])
async def test_answer_to_a_pull_follows_its_line_in_the_journal(
    new_house: NewHouse, setting: str, flush: list[str]
) -> None:
    house = await new_house(workers=1, environment={"HOMEPORT_AUDIT_SYNC": setting})
    image = make_image()
    async with Client(house.server.url, house.world, house.authorization) as client:
        await client.push_image(HERE, image, "latest")
        await client.look(Key(Kind.TAG, HERE, "latest"))

        pulled = await steps_of(house, client.look(Key(Kind.TAG, HERE, "latest")))

    assert pulled == ["write journal", *flush, "answer"]
