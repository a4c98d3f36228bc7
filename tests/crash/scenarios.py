"""What clients do while processes are killed: each scenario changes names of its own."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.crash.client import Client, Image, make_image, make_index
from tests.crash.world import Key, Kind, World

HERE = "crash/here"
THERE = "crash/there"
REPOSITORIES = (HERE, THERE)

_BLOB_BYTES = 700_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """`prepare` sets up new names and returns what is then done to them while the server dies.

    What it returns may be done again when it was cut off: it must succeed then.
    """

    name: str
    prepare: Callable[[Client, World], Awaitable["Act"]]


Act = Callable[[Client], Awaitable[None]]


async def _prepare_monolithic(_client: Client, _world: World) -> Act:
    content = os.urandom(_BLOB_BYTES)

    async def act(client: Client) -> None:
        await client.push_blob(HERE, content)

    return act


async def _prepare_chunked(_client: Client, _world: World) -> Act:
    content = os.urandom(_BLOB_BYTES)

    async def act(client: Client) -> None:
        await client.push_blob_chunked(HERE, content)

    return act


async def _prepare_at_once(_client: Client, _world: World) -> Act:
    content = os.urandom(_BLOB_BYTES)

    async def act(client: Client) -> None:
        await client.push_blob_at_once(HERE, content, "sha512")

    return act


async def _prepare_large(_client: Client, _world: World) -> Act:
    """Return a push in chunks whose digest a worker notes for another that ends it."""
    content = os.urandom(5 * 1024 * 1024)

    async def act(client: Client) -> None:
        await client.push_blob_chunked(HERE, content, 1)

    return act


async def _prepare_cancel(_client: Client, _world: World) -> Act:
    content = os.urandom(1000)

    async def act(client: Client) -> None:
        session = await client.begin_upload(HERE, content)
        await client.append(session, 500)
        await client.cancel_upload(session)

    return act


async def _prepare_mount(client: Client, _world: World) -> Act:
    digest = await client.push_blob_at_once(THERE, os.urandom(1000))

    async def act(client: Client) -> None:
        await client.mount(HERE, digest, THERE)

    return act


async def _prepare_image(_client: Client, _world: World) -> Act:
    image = make_image(os.urandom(10_000))

    async def act(client: Client) -> None:
        await client.push_image(HERE, image, image.digest[7:27])

    return act


async def _prepare_retag(client: Client, _world: World) -> Act:
    """Return a push that moves a tag which exists."""
    old, new = make_image(), make_image()
    await client.push_image(HERE, old, old.digest[7:27])
    await client.push_blob(HERE, new.blobs[0])

    async def act(client: Client) -> None:
        await client.push_manifest(HERE, new, old.digest[7:27])

    return act


async def _prepare_tags(client: Client, _world: World) -> Act:
    """Return a push of one manifest under three tags at once, one of which exists."""
    old, new = make_image(), make_image()
    names = [f"{old.digest[7:20]}-{number}" for number in range(3)]
    await client.push_image(HERE, old, names[1])
    await client.push_blob(HERE, new.blobs[0])

    async def act(client: Client) -> None:
        await client.push_manifest(HERE, new, *names)

    return act


async def _prepare_index(client: Client, _world: World) -> Act:
    """Return a push of an index and of a referrer to it."""
    images = [make_image(), make_image()]
    for image in images:
        await client.push_image(HERE, image, image.digest[7:27])
    index = make_index(*images)
    referrer = make_image(subject=index.descriptor)
    await client.push_blob(HERE, referrer.blobs[0])

    async def act(client: Client) -> None:
        await client.push_manifest(HERE, index, index.digest[7:27])
        await client.push_manifest(HERE, referrer)

    return act


async def _prepare_deletes(client: Client, world: World) -> Act:
    """Return the delete of a tag, of a manifest with two tags, and of its blob."""
    image, other = make_image(), make_image()
    names = [f"{image.digest[7:20]}-{number}" for number in range(2)]
    for content in (*image.blobs, *other.blobs):
        await client.push_blob(HERE, content)
    await client.push_manifest(HERE, image, *names)
    await client.push_manifest(HERE, other, f"{names[0]}-other")
    blob = Key(Kind.BLOB, HERE, _config_of(image))

    async def act(client: Client) -> None:
        if world.value(Key(Kind.TAG, HERE, f"{names[0]}-other")):
            await client.delete_tag(HERE, f"{names[0]}-other")
        if world.value(Key(Kind.MANIFEST, HERE, image.digest)):
            await client.delete_manifest(HERE, image.digest, *names)
        if world.value(blob):
            await client.delete_blob(HERE, blob.name)

    return act


async def _prepare_pulls(client: Client, _world: World) -> Act:
    """Return pulls by tag, by digest, again from the cache, and of a blob."""
    image = make_image()
    await client.push_image(HERE, image, image.digest[7:27])

    async def act(client: Client) -> None:
        keys = [
            Key(Kind.TAG, HERE, image.digest[7:27]),
            Key(Kind.MANIFEST, HERE, image.digest),
            Key(Kind.TAG, HERE, image.digest[7:27]),
            Key(Kind.BLOB, HERE, _config_of(image)),
        ]
        await client.settle(keys)

    return act


def _config_of(image: Image) -> str:
    from tests.crash.client import digest_of

    return digest_of(image.blobs[0])


SCENARIOS = (
    Scenario("monolithic", _prepare_monolithic),
    Scenario("chunked", _prepare_chunked),
    Scenario("at once", _prepare_at_once),
    Scenario("large", _prepare_large),
    Scenario("cancel", _prepare_cancel),
    Scenario("mount", _prepare_mount),
    Scenario("image", _prepare_image),
    Scenario("retag", _prepare_retag),
    Scenario("tags", _prepare_tags),
    Scenario("index", _prepare_index),
    Scenario("deletes", _prepare_deletes),
    Scenario("pulls", _prepare_pulls),
)
