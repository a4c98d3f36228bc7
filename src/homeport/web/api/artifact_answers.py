"""Artifacts, tags, accessories and labels in the shapes of Harbor's API."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel, Field

from homeport.control.additions import additions_of
from homeport.control.artifacts import Artifact, Child
from homeport.db.artifact_changes import StoredLabel
from homeport.db.artifacts import StoredAccessory, StoredTag
from homeport.rules.artifact_icon import icon_of, icon_of_accessory

# Harbor's clients get this for what was never pulled
NEVER = datetime(1, 1, 1, tzinfo=UTC)


class TagAnswer(BaseModel):
    """A tag on an artifact."""

    id: int
    repository_id: int
    artifact_id: int
    name: str
    push_time: datetime
    pull_time: datetime
    immutable: bool


class LabelAnswer(BaseModel):
    """A label."""

    id: int
    name: str
    description: str
    color: str
    scope: str
    project_id: int
    creation_time: datetime
    update_time: datetime


class PlatformAnswer(BaseModel):
    """What machines a child of an index is for; two names are quoted, as Harbor writes them."""

    architecture: str | None = None
    os: str | None = None
    os_version: Annotated[str | None, Field(serialization_alias="'os.version'")] = None
    os_features: Annotated[list[str] | None, Field(serialization_alias="'os.features'")] = None
    variant: str | None = None


class ReferenceAnswer(BaseModel):
    """A child of an index."""

    parent_id: int
    child_id: int
    child_digest: str
    platform: PlatformAnswer | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None


class AccessoryAnswer(BaseModel):
    """An artifact that belongs to another one."""

    id: int
    artifact_id: int
    subject_artifact_id: int
    subject_artifact_digest: str
    subject_artifact_repo: str
    size: int
    digest: str
    type: str
    icon: str
    creation_time: datetime


class LinkAnswer(BaseModel):
    """Where an addition is."""

    href: str
    absolute: bool


class ArtifactAnswer(BaseModel):
    """An artifact; parts that were not asked for are left out."""

    id: int
    type: str
    media_type: str
    manifest_media_type: str
    artifact_type: str
    project_id: int
    repository_id: int
    repository_name: str
    digest: str
    size: int
    icon: str
    push_time: datetime
    pull_time: datetime
    extra_attrs: dict[str, Any] | None = None
    annotations: dict[str, str] | None = None
    references: list[ReferenceAnswer]
    tags: list[TagAnswer] | None = None
    addition_links: dict[str, LinkAnswer]
    labels: list[LabelAnswer] | None = None
    accessories: list[AccessoryAnswer] | None = None
    inherited_accessories: list[AccessoryAnswer] | None = None


def answer_artifact(artifact: Artifact) -> ArtifactAnswer:
    """Return the artifact as the API shows it."""
    stored = artifact.stored
    return ArtifactAnswer(
        id=stored.id,
        type=stored.kind,
        media_type=stored.config_media_type or stored.artifact_type,
        manifest_media_type=stored.media_type,
        artifact_type=stored.artifact_type,
        project_id=stored.project_id,
        repository_id=stored.repository_id,
        repository_name=stored.repository_name,
        digest=stored.digest,
        size=stored.total_bytes,
        icon=icon_of(stored.kind),
        push_time=stored.pushed_at,
        pull_time=stored.pulled_at or NEVER,
        extra_attrs=orjson.loads(stored.extra_attrs) if stored.extra_attrs else None,
        annotations=orjson.loads(stored.annotations) if stored.annotations else None,
        references=[_answer_child(child) for child in artifact.children],
        tags=None if artifact.tags is None else [answer_tag(tag) for tag in artifact.tags],
        addition_links=_links(artifact),
        labels=None if artifact.labels is None else [answer_label(label) for label in artifact.labels],
        accessories=_answer_accessories(artifact.accessories),
        inherited_accessories=_answer_accessories(artifact.inherited_accessories),
    )


def answer_tag(tag: StoredTag) -> TagAnswer:
    """Return the tag as the API shows it."""
    return TagAnswer(
        id=tag_id(tag.repository_id, tag.name),
        repository_id=tag.repository_id,
        artifact_id=tag.manifest_id,
        name=tag.name,
        push_time=tag.pushed_at,
        pull_time=tag.pulled_at or NEVER,
        immutable=False,
    )


def tag_id(repository_id: int, name: str) -> int:
    """Return a number for the tag that stays the same; tags are stored without one."""
    content = blake2b(f"{repository_id}/{name}".encode(), digest_size=7).digest()
    return int.from_bytes(content) >> 3  # numbers that JavaScript keeps


def answer_label(label: StoredLabel) -> LabelAnswer:
    """Return the label as the API shows it."""
    return LabelAnswer(
        id=label.id,
        name=label.name,
        description=label.description,
        color=label.color,
        scope="g" if label.project_id is None else "p",
        project_id=label.project_id or 0,
        creation_time=label.created_at,
        update_time=label.updated_at,
    )


def answer_accessory(accessory: StoredAccessory) -> AccessoryAnswer:
    """Return the accessory as the API shows it."""
    return AccessoryAnswer(
        id=accessory.id,
        artifact_id=accessory.id,
        subject_artifact_id=accessory.subject_id,
        subject_artifact_digest=accessory.subject_digest,
        subject_artifact_repo=accessory.repository_name,
        size=accessory.total_bytes,
        digest=accessory.digest,
        type=accessory.kind,
        icon=icon_of_accessory(accessory.kind),
        creation_time=accessory.pushed_at,
    )


def _answer_accessories(accessories: Sequence[StoredAccessory] | None) -> list[AccessoryAnswer] | None:
    return None if accessories is None else [answer_accessory(accessory) for accessory in accessories]


def _answer_child(child: Child) -> ReferenceAnswer:
    descriptor = child.descriptor
    return ReferenceAnswer(
        parent_id=child.stored.parent_id,
        child_id=child.stored.child_id,
        child_digest=child.stored.digest,
        platform=_answer_platform(descriptor.platform) if descriptor and descriptor.platform else None,
        annotations=descriptor.annotations if descriptor else None,
        urls=list(descriptor.urls) if descriptor and descriptor.urls else None,
    )


def _answer_platform(platform: dict[str, Any]) -> PlatformAnswer:
    """Return the platform, without what is no text: indexes are pushed by anybody."""
    features = platform.get("os.features")
    return PlatformAnswer(
        architecture=_text(platform.get("architecture")),
        os=_text(platform.get("os")),
        os_version=_text(platform.get("os.version")),
        os_features=[text for text in features if isinstance(text, str)]
        if isinstance(features, list)
        else None,
        variant=_text(platform.get("variant")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _links(artifact: Artifact) -> dict[str, LinkAnswer]:
    stored = artifact.stored
    project_name, _, inside = stored.repository_name.partition("/")
    twice = quote(quote(inside, safe=""), safe="")
    base = f"/api/v2.0/projects/{project_name}/repositories/{twice}/artifacts/{stored.digest}/additions"
    return {
        kind.value: LinkAnswer(href=f"{base}/{kind.value}", absolute=False)
        for kind in additions_of(stored.kind, stored.media_type)
    }
