"""Many clients at once: each pushes, moves, deletes and pulls what is its own, and pulls what all share."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.crash.client import Client, Image, basic, digest_of, make_image, sign_in
from tests.crash.house import House
from tests.crash.http import LostError
from tests.crash.world import Key, Kind, World

SHARED = "soak/shared"
_TAGS = 5
_LAYERS = 24
_MAX_LAYER_BYTES = 200_000
_RETRY_PAUSE_S = 0.05
_MAX_RETRIES = 400
_REPOSITORIES_PER_TOKEN = 20


@dataclass(slots=True)
class Crowd:
    """The clients, with the layers that they push, which are few, and the images that all of them pull."""

    house: House
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    _layers: list[bytes] = field(default_factory=list)
    _shared: list[Image] = field(default_factory=list)

    @property
    def world(self) -> World:
        """What the clients were promised."""
        return self.house.world

    async def prepare(self) -> None:
        """Push what is shared."""
        chance = random.Random(self.seed)  # noqa: S311 - no secret
        self._layers = [chance.randbytes(chance.randrange(1, _MAX_LAYER_BYTES)) for _ in range(_LAYERS)]
        async with self._client(await self._sign_in()) as client:
            for number in range(5):
                image = make_image(*chance.sample(self._layers, 3))
                self._shared.append(image)
                await client.push_image(SHARED, image, f"v{number}")

    async def run(self, clients: int, seconds: float) -> None:
        """Let the clients work side by side for so long; fails when one of them sees what must not be."""
        names = [f"soak/client-{number}" for number in range(clients)]
        tokens = [
            await self._sign_in(*names[start : start + _REPOSITORIES_PER_TOKEN])
            for start in range(0, clients, _REPOSITORIES_PER_TOKEN)
        ]
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                group.create_task(self._work(name, tokens[number // _REPOSITORIES_PER_TOKEN], deadline))

    async def check(self) -> None:
        """Look at every name that was ever written to."""
        repositories = sorted({key.repository for key in self.world.all_keys()})
        for start in range(0, len(repositories), _REPOSITORIES_PER_TOKEN):
            part = repositories[start : start + _REPOSITORIES_PER_TOKEN]
            async with self._client(await self._sign_in(*part)) as client:
                await client.settle([key for key in self.world.all_keys() if key.repository in part])
                for repository in part:
                    await client.check_lists(repository)

    async def _work(self, repository: str, token: str, deadline: float) -> None:
        chance = random.Random(f"{self.seed}-{repository}")  # noqa: S311 - no secret
        clock = asyncio.get_running_loop().time
        async with self._client(token, keeps_alive=chance.random() < 0.8) as client:
            while clock() < deadline:
                work = chance.choices(
                    (self._push, self._pull, self._pull_shared, self._delete), (3, 6, 6, 1)
                )[0]
                try:
                    await work(client, repository, chance)
                except LostError:
                    self.done["lost"] += 1
                    await self._recover(client, repository)

    async def _push(self, client: Client, repository: str, chance: random.Random) -> None:
        """Push an image, its blobs in one way or another, under a tag that may exist."""
        image = make_image(*chance.sample(self._layers, chance.randrange(3)))
        for content in image.blobs:
            digest = digest_of(content)
            key = Key(Kind.BLOB, repository, digest)
            if self.world.possible(key) == {digest}:
                continue
            if self.world.possible(Key(Kind.BLOB, SHARED, digest)) == {digest} and chance.random() < 0.3:
                await client.mount(repository, digest, SHARED)
                self.done["mount"] += 1
                continue
            push = chance.choice((client.push_blob, client.push_blob_chunked, client.push_blob_at_once))
            await push(repository, content)
            self.done["blob"] += 1
        await client.push_manifest(repository, image, f"v{chance.randrange(_TAGS)}")
        self.done["push"] += 1

    async def _pull(self, client: Client, repository: str, chance: random.Random) -> None:
        key = Key(Kind.TAG, repository, f"v{chance.randrange(_TAGS)}")
        await client.settle([key])
        digest = self.world.value(key)
        self.done["pull"] += 1
        if digest is not None and chance.random() < 0.3:
            await self._pull_blobs(client, repository, digest)

    async def _pull_shared(self, client: Client, _repository: str, chance: random.Random) -> None:
        number = chance.randrange(len(self._shared))
        await client.settle([Key(Kind.TAG, SHARED, f"v{number}")])
        self.done["pull"] += 1
        if chance.random() < 0.3:
            await self._pull_blobs(client, SHARED, self._shared[number].digest)

    async def _delete(self, client: Client, repository: str, chance: random.Random) -> None:
        """Delete a tag, or the manifest that it is on."""
        key = Key(Kind.TAG, repository, f"v{chance.randrange(_TAGS)}")
        digest = self.world.value(key)
        if digest is None:
            return
        if chance.random() < 0.5:
            await client.delete_tag(repository, key.name)
        else:
            tags = [f"v{number}" for number in range(_TAGS)]
            await client.delete_manifest(
                repository,
                digest,
                *(tag for tag in tags if self.world.value(Key(Kind.TAG, repository, tag)) == digest),
            )
        self.done["delete"] += 1

    async def _pull_blobs(self, client: Client, repository: str, digest: str) -> None:
        for name in blobs_of(self.world.contents[digest]):
            await client.settle([Key(Kind.BLOB, repository, name)])
            self.done["blob pull"] += 1

    async def _recover(self, client: Client, repository: str) -> None:
        """Look at everything that nobody answered for, and go on with uploads or give them up."""
        for _ in range(_MAX_RETRIES):
            try:
                await client.settle([key for key in self.world.unsettled() if key.repository == repository])
                await client.settle_uploads(
                    resumes=lambda session: len(session.content) % 2 == 0, repository=repository
                )
            except LostError:
                await asyncio.sleep(_RETRY_PAUSE_S)
            else:
                return
        raise AssertionError("the server does not come back")

    async def _sign_in(self, *repositories: str) -> str:
        server = self.house.server
        return await sign_in(server.url, basic(server.user, server.password), SHARED, *repositories)

    def _client(self, token: str, *, keeps_alive: bool = True) -> Client:
        return Client(self.house.server.url, self.world, token, keeps_alive=keeps_alive)


def blobs_of(manifest: bytes) -> list[str]:
    """Return the digests of the blobs that the manifest names."""
    document = json.loads(manifest)
    return [descriptor["digest"] for descriptor in (document["config"], *document["layers"])]
