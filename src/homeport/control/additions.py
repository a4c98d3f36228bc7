"""Additions of artifacts: the build history of images, the files of charts.

The control plane touches no blob bytes: what it needs of a config or a chart is read by the data plane, in
functions that it is given.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

import orjson

from homeport.control.artifacts import require_artifact
from homeport.control.errors import BadRequestError, NotBuiltError, NotFoundError
from homeport.db.artifacts import read_bodies
from homeport.db.contents import find_blob_size
from homeport.db.engine import Database
from homeport.oci import mediatype
from homeport.oci.chart_archive import ChartArchiveInvalidError, read_chart_file
from homeport.oci.image_config import parse_config
from homeport.oci.manifest import Descriptor, Manifest, parse_manifest
from homeport.rules.artifact_type import CHART, IMAGE

MAX_CHART_BYTES = 8 * 1024 * 1024

_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_READERS = 2

# the content of the digest, of that many bytes, or None when it is missing
ReadContent = Callable[[str, int], Awaitable[bytes | None]]


class AdditionKind(StrEnum):
    """What can be asked for beside an artifact, in the words of the paths."""

    BUILD_HISTORY = "build_history"
    VALUES = "values.yaml"
    README = "readme.md"
    DEPENDENCIES = "dependencies"
    SBOM = "sbom"
    LICENSE = "license"
    FILES = "files"
    VULNERABILITIES = "vulnerabilities"


SUPPORTED: dict[str, tuple[AdditionKind, ...]] = {
    IMAGE: (AdditionKind.BUILD_HISTORY,),
    CHART: (AdditionKind.VALUES, AdditionKind.README, AdditionKind.DEPENDENCIES),
}
_NOT_BUILT = frozenset(
    {AdditionKind.SBOM, AdditionKind.VULNERABILITIES, AdditionKind.LICENSE, AdditionKind.FILES}
)


def additions_of(kind: str, media_type: str) -> tuple[AdditionKind, ...]:
    """Return the additions of artifacts of this type and manifest media type; indexes have none."""
    return () if media_type in mediatype.INDEXES else SUPPORTED.get(kind, ())


@dataclass(frozen=True, slots=True)
class Addition:
    """Content to be shown, with its media type."""

    content: bytes
    content_type: str


class Additions:
    """Finds additions; the caller has checked the right to see them. One for all requests of a worker."""

    def __init__(self, database: Database, read_content: ReadContent) -> None:
        self._database = database
        self._read_content = read_content
        self._unpacking = asyncio.Semaphore(_READERS)

    async def get(self, repository_id: int, reference: str, kind: AdditionKind) -> Addition:
        """Return the addition of the artifact under the tag or digest.

        Raises NotFoundError, BadRequestError for what artifacts of this type do not have, and NotBuiltError.
        """
        artifact = await self._database.read(require_artifact, repository_id, reference)
        if kind in _NOT_BUILT:
            raise NotBuiltError(f"the addition {kind} is not implemented yet", hint="see docs/harbor-api.md")
        if kind not in additions_of(artifact.kind, artifact.media_type):
            raise BadRequestError(f"artifacts of type {artifact.kind} have no addition {kind}")
        bodies = await self._database.read(read_bodies, [artifact.digest])
        if artifact.digest not in bodies:
            raise NotFoundError(f"the artifact {artifact.digest} is gone")
        manifest = parse_manifest(bodies[artifact.digest], artifact.media_type)
        match kind:
            case AdditionKind.BUILD_HISTORY:
                history = (await self._config(repository_id, manifest)).get("history")
                return _json(history if isinstance(history, list) else [])
            case AdditionKind.DEPENDENCIES:
                dependencies = (await self._config(repository_id, manifest)).get("dependencies")
                return _json(dependencies if isinstance(dependencies, list) else [])
            case AdditionKind.VALUES:
                return await self._chart_file((repository_id, manifest), kind, "text/plain; charset=utf-8")
            case _:
                return await self._chart_file((repository_id, manifest), kind, "text/markdown; charset=utf-8")

    async def _config(self, repository_id: int, manifest: Manifest) -> dict[str, object]:
        content = await self._content(repository_id, manifest.config)
        document = parse_config(content)
        if document is None:
            raise BadRequestError("the artifact's config is no JSON object, or too large")
        return document

    async def _chart_file(self, chart: tuple[int, Manifest], name: str, content_type: str) -> Addition:
        repository_id, manifest = chart
        layer = next((layer for layer in manifest.layers if layer.media_type == _CHART_LAYER), None)
        if layer is not None and layer.size_bytes > MAX_CHART_BYTES:
            raise BadRequestError(f"the chart is larger than {MAX_CHART_BYTES} bytes")
        async with self._unpacking:
            packed = await self._content(repository_id, layer)
            try:
                content = await asyncio.to_thread(read_chart_file, packed, name)
            except ChartArchiveInvalidError as error:
                raise BadRequestError(str(error)) from error
        return Addition(content or b"", content_type)

    async def _content(self, repository_id: int, descriptor: Descriptor | None) -> bytes:
        """Return content of the repository: a manifest may name foreign layers that are another's."""
        content = None
        if descriptor is not None:
            digest = str(descriptor.digest)
            size_bytes = await self._database.read(find_blob_size, repository_id, digest)
            content = None if size_bytes is None else await self._read_content(digest, size_bytes)
        if content is None:
            raise NotFoundError("the artifact's content is missing or too large to be shown")
        return content


def _json(value: object) -> Addition:
    return Addition(orjson.dumps(value), "application/json; charset=utf-8")
