"""Images, indexes, charts and signatures that the tests of artifacts push, and members who may see them."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlalchemy import create_engine, delete, insert, select
from tests.api.client import Api, ApiAnswer
from tests.servers import HomeportServer

from homeport.db.schema import EPOCH, audit_record, label, project, project_member

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A manifest and the blobs that it names."""

    body: bytes
    blobs: tuple[bytes, ...] = ()
    media_type: str = MANIFEST
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.body))

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of the manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}

    @property
    def total_bytes(self) -> int:
        """The bytes of the manifest and its blobs."""
        return len(self.body) + sum(map(len, self.blobs))


def described(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def make_image(architecture: str = "amd64", **more: object) -> Artifact:
    """Return an image like no other, with one layer and a history."""
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "author": "tests",
            "config": {"Env": ["A=b"], "Labels": {"who": "tests"}},
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": "COPY . /"}],
            "random": os.urandom(8).hex(),
        }
    ).encode()
    return make_artifact(config, CONFIG, ((LAYER, os.urandom(100)),), **more)


def make_artifact(
    config: bytes, config_type: str, layers: tuple[tuple[str, bytes], ...], **more: object
) -> Artifact:
    """Return a manifest of any type; `foreign` are descriptors of more layers."""
    foreign = more.pop("foreign", [])
    assert isinstance(foreign, list)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(config_type, config),
        "layers": [*(described(media_type, content) for media_type, content in layers), *foreign],
        **more,
    }
    return Artifact(json.dumps(manifest).encode(), (config, *(content for _, content in layers)))


def make_index(*images: Artifact, platforms: tuple[dict[str, Any], ...] = ()) -> Artifact:
    """Return an index of the images."""
    entries = [image.descriptor for image in images]
    for entry, platform in zip(entries, platforms, strict=False):
        entry["platform"] = platform
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return Artifact(json.dumps(document).encode(), (), INDEX)


def make_referrer(subject: Artifact, artifact_type: str) -> Artifact:
    """Return an artifact that belongs to the subject."""
    return make_artifact(
        b"{}",
        EMPTY,
        (("application/octet-stream", os.urandom(20)),),
        subject=subject.descriptor,
        artifactType=artifact_type,
    )


def make_chart(files: Mapping[str, bytes], **metadata: object) -> Artifact:
    """Return a Helm chart with these files in its directory."""
    config = json.dumps({"name": "web", "version": "1.2.3", "apiVersion": "v2", **metadata}).encode()
    return make_artifact(config, CHART_CONFIG, ((CHART_LAYER, packed(files)),))


def packed(files: Mapping[str, bytes], directory: str = "web") -> bytes:
    """Return the files as a compressed archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{directory}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def unique(prefix: str) -> str:
    """Return a name that nothing else has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def push(api: Api, repository: str, artifact: Artifact, *tags: str) -> str:
    """Push the artifact with its blobs under the tags, or by digest alone, and return its digest."""
    for content in artifact.blobs:
        path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
        answer = api.request("POST", path, content, {"content-type": "application/octet-stream"})
        assert answer.status == 201, answer
    for reference in tags or (artifact.digest,):
        path = f"/v2/{repository}/manifests/{reference}"
        answer = api.request("PUT", path, artifact.body, {"content-type": artifact.media_type})
        assert answer.status == 201, answer
    return artifact.digest


def pull(api: Api, repository: str, reference: str) -> ApiAnswer:
    """Pull a manifest."""
    return api.request(
        "GET", f"/v2/{repository}/manifests/{reference}", headers={"accept": f"{MANIFEST}, {INDEX}"}
    )


def path_of(repository: str, *rest: str) -> str:
    """Return the API's path of something in a repository, encoded as Harbor's clients do."""
    project_name, _, inside = repository.partition("/")
    twice = quote(quote(inside, safe=""), safe="")
    return "/".join([f"/projects/{project_name}/repositories/{twice}", *rest])


def artifact_path(repository: str, reference: str, *rest: str) -> str:
    """Return the API's path of an artifact, or of something below it."""
    return path_of(repository, "artifacts", reference, *rest)


@dataclass(frozen=True, slots=True)
class House:
    """The server and its database, to make what other areas of the API make."""

    server: HomeportServer
    admin: Api

    def add_member(self, user_id: int, project_name: str, role_id: int, pattern: str = "") -> None:
        """Give the user a role in the project, or in some of its repositories."""
        self._insert(
            insert(project_member).values(
                project_id=self.project_id(project_name),
                user_id=user_id,
                role_id=role_id,
                repository_pattern=pattern,
                created_at=EPOCH,
            )
        )

    def remove_member(self, user_id: int) -> None:
        """Take every role from the user."""
        engine = create_engine(f"sqlite:///{self.server.data / 'homeport.db'}", connect_args={"timeout": 30})
        try:
            with engine.begin() as connection:
                connection.execute(delete(project_member).where(project_member.c.user_id == user_id))
        finally:
            engine.dispose()

    def add_label(self, name: str, project_name: str | None = None) -> int:
        """Make a label of the project, or a global one."""
        return self._insert(
            insert(label).values(
                name=name,
                project_id=None if project_name is None else self.project_id(project_name),
                created_at=EPOCH,
                updated_at=EPOCH,
            )
        )

    def project_id(self, name: str) -> int:
        """Return the id of the project."""
        engine = create_engine(f"sqlite:///{self.server.data / 'homeport.db'}")
        try:
            with engine.connect() as connection:
                return int(
                    connection.execute(select(project.c.id).where(project.c.name == name)).scalar_one()
                )
        finally:
            engine.dispose()

    def audit_records(self, repository: str) -> list[dict[str, Any]]:
        """Return what was recorded of the repository by the control plane, the oldest first."""
        engine = create_engine(f"sqlite:///{self.server.data / 'homeport.db'}")
        wanted = (audit_record.c.operation, audit_record.c.reference, audit_record.c.detail)
        try:
            with engine.connect() as connection:
                rows = connection.execute(
                    select(*wanted)
                    .where(
                        audit_record.c.repository == repository,
                        audit_record.c.operation.not_in(("pull", "push", "mount", "delete")),
                    )
                    .order_by(audit_record.c.id)
                )
                return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
        finally:
            engine.dispose()

    def _insert(self, statement: Any) -> int:
        engine = create_engine(f"sqlite:///{self.server.data / 'homeport.db'}", connect_args={"timeout": 30})
        try:
            with engine.begin() as connection:
                key = connection.execute(statement).inserted_primary_key
                assert key is not None
                return int(key[0])
        finally:
            engine.dispose()
