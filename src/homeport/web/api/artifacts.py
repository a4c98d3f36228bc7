"""Artifacts of repositories, as Harbor's API serves them: lists, copies, tags, labels, additions."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from homeport.control.additions import MAX_CHART_BYTES, AdditionKind, Additions
from homeport.control.artifacts import ArtifactParts, Artifacts
from homeport.control.errors import BadRequestError, NotFoundError
from homeport.db.artifacts import ArtifactScope
from homeport.db.repositories import Location, find_project_facts_by_id
from homeport.oci.name import is_repository_name, parse_repository_name
from homeport.registry.content import SmallContent
from homeport.rules.permissions import may_somewhere_in_project
from homeport.rules.visibility import repository_scope
from homeport.web.api.artifact_answers import (
    AccessoryAnswer,
    ArtifactAnswer,
    TagAnswer,
    answer_accessory,
    answer_artifact,
    answer_tag,
)
from homeport.web.api.conventions import (
    ApiCaller,
    CallerParameter,
    Listing,
    ListingParameter,
    ServicesParameter,
    is_resource_name,
    set_location,
)
from homeport.web.api.repositories import (
    ProjectName,
    RepositoryName,
    locate_repository,
    require_repository,
)
from homeport.web.api.services import Services

router = APIRouter(tags=["artifact"])

Reference = Annotated[str, Path(max_length=512)]

_ARTIFACTS = "/projects/{project_name}/repositories/{repository_name}/artifacts"
_ARTIFACT = _ARTIFACTS + "/{reference}"
_MAX_ID = 2**63 - 1
_MAX_ID_DIGITS = 19


class TagBody(BaseModel):
    """A tag to be made; the rest is ignored."""

    name: Annotated[str, Field(max_length=512)]


class LabelBody(BaseModel):
    """A label to be added, by its id; the rest is ignored."""

    id: Annotated[int, Field(ge=1, le=_MAX_ID)]


@dataclass(frozen=True, slots=True)
class RepositoryCall:
    """A request about a repository, or something in it."""

    services: Services
    caller: ApiCaller
    names: tuple[str, str]

    @property
    def artifacts(self) -> Artifacts:
        """The service that answers it."""
        return Artifacts(self.services.database)

    async def require(self, *permissions: str) -> tuple[str, int, int]:
        """Return the repository's name, its id and its project's; raises as `require_repository`."""
        location = await require_repository(self.services, self.caller, self.names, *permissions)
        return _identified(location)


def _identified(location: Location) -> tuple[str, int, int]:
    if location.repository_id is None or location.project_id is None:
        raise NotFoundError(f"repository {location.repository_name} not found")
    return location.repository_name, location.repository_id, location.project_id


def get_call(
    services: ServicesParameter,
    caller: CallerParameter,
    project_name: ProjectName,
    repository_name: RepositoryName,
) -> RepositoryCall:
    """Return what every operation on a repository needs."""
    return RepositoryCall(services, caller, (project_name, repository_name))


def get_parts(
    *,
    with_tag: Annotated[bool, Query()] = True,
    with_label: Annotated[bool, Query()] = False,
    with_accessory: Annotated[bool, Query()] = False,
    with_inherited_accessory: Annotated[bool, Query()] = False,
) -> ArtifactParts:
    """Return what is to be shown beside the artifacts; scans and immutability come with their rules."""
    return ArtifactParts(
        tags=with_tag,
        labels=with_label,
        accessories=with_accessory,
        inherited_accessories=with_inherited_accessory,
    )


Call = Annotated[RepositoryCall, Depends(get_call)]
Parts = Annotated[ArtifactParts, Depends(get_parts)]


def get_project_key(request: Request, project_name_or_id: Annotated[str, Path(max_length=255)]) -> int | str:
    """Return the project's id, or its name when it is no number or said to be a name."""
    text = project_name_or_id
    is_id = text.isascii() and text.isdigit() and len(text) < _MAX_ID_DIGITS and not is_resource_name(request)
    return int(text) if is_id else parse_repository_name(text)


def get_additions(request: Request, services: ServicesParameter) -> Additions:
    """Return the one service of this worker that reads additions: it bounds how many are read at once."""
    state = request.app.state
    if getattr(state, "additions", None) is None:
        read = partial(SmallContent(services.store).find, max_bytes=MAX_CHART_BYTES)
        state.additions = Additions(services.database, read)
    additions: Additions = state.additions
    return additions


@router.get(_ARTIFACTS, response_model_exclude_none=True)
async def list_artifacts(call: Call, listing: ListingParameter, parts: Parts) -> list[ArtifactAnswer]:
    """List the repository's artifacts, without accessories and untagged children of indexes."""
    _, repository_id, project_id = await call.require("artifact:list")
    scope = ArtifactScope(project_id, repository_id)
    return await _answer_page(call.artifacts, scope, listing, parts)


async def _answer_page(
    artifacts: Artifacts, scope: ArtifactScope, listing: Listing, parts: ArtifactParts
) -> list[ArtifactAnswer]:
    found, total = await artifacts.page(scope, listing.query, parts)
    listing.set_total(total)
    return [answer_artifact(artifact) for artifact in found]


@router.post(_ARTIFACTS, status_code=201)
async def copy_artifact(
    call: Call,
    request: Request,
    response: Response,
    source: Annotated[str, Query(alias="from", max_length=1024)],
) -> None:
    """Copy an artifact from another repository, `PROJECT/REPOSITORY@DIGEST` or `PROJECT/REPOSITORY:TAG`."""
    target = await locate_repository(
        call.services, call.caller, call.names, "artifact:create", "repository:push"
    )
    name, reference = _parse_source(source)
    origin = await call.services.puller.locate(name)
    for permission in ("repository:pull", "artifact:read"):
        call.caller.require_in_project(origin.project, permission, name)
    digest = await call.artifacts.copy(call.caller.actor, origin, reference, target)
    set_location(request, response, digest)


def _parse_source(text: str) -> tuple[str, str]:
    name, at, reference = text.partition("@")
    if not at:
        name, _, reference = text.rpartition(":")
    if "/" not in name or not reference or not is_repository_name(name):
        raise BadRequestError(
            f"{text[:256]!r} names no artifact",
            hint="use PROJECT/REPOSITORY@DIGEST or PROJECT/REPOSITORY:TAG",
        )
    return name, reference


@router.get(_ARTIFACT, response_model_exclude_none=True)
async def get_artifact(call: Call, reference: Reference, parts: Parts) -> ArtifactAnswer:
    """Return the artifact under the tag or digest."""
    _, repository_id, _ = await call.require("artifact:read")
    return answer_artifact(await call.artifacts.get(repository_id, reference, parts))


@router.delete(_ARTIFACT)
async def delete_artifact(call: Call, reference: Reference) -> None:
    """Delete the artifact with its tags, accessories and children that nothing else needs."""
    name, _, _ = await call.require("artifact:delete")
    await call.artifacts.delete(call.caller.actor, name, reference)


@router.get(_ARTIFACT + "/tags", response_model_exclude_none=True)
async def list_tags(call: Call, reference: Reference, listing: ListingParameter) -> list[TagAnswer]:
    """List the artifact's tags."""
    _, repository_id, _ = await call.require("tag:list")
    found, total = await call.artifacts.tags(repository_id, reference, listing.query)
    listing.set_total(total)
    return [answer_tag(tag) for tag in found]


@router.post(_ARTIFACT + "/tags", status_code=201)
async def create_tag(
    call: Call, reference: Reference, body: TagBody, request: Request, response: Response
) -> None:
    """Tag the artifact."""
    name, _, _ = await call.require("tag:create")
    await call.artifacts.create_tag(call.caller.actor, name, reference, body.name)
    set_location(request, response, body.name)


@router.delete(_ARTIFACT + "/tags/{tag_name}")
async def delete_tag(
    call: Call, reference: Reference, tag_name: Annotated[str, Path(max_length=512)]
) -> None:
    """Take the tag off the artifact."""
    name, _, _ = await call.require("tag:delete")
    await call.artifacts.delete_tag(call.caller.actor, name, reference, tag_name)


@router.get(_ARTIFACT + "/accessories")
async def list_accessories(
    call: Call, reference: Reference, listing: ListingParameter
) -> list[AccessoryAnswer]:
    """List what belongs to the artifact: signatures, SBOMs and the like."""
    _, repository_id, _ = await call.require("accessory:list")
    found, total = await call.artifacts.accessories(repository_id, reference, listing.query)
    listing.set_total(total)
    return [answer_accessory(accessory) for accessory in found]


@router.get(_ARTIFACT + "/additions/vulnerabilities", include_in_schema=False)
async def get_vulnerabilities(
    call: Call, reference: Reference, additions: Annotated[Additions, Depends(get_additions)]
) -> None:
    """Say that there is no scanner yet."""
    _, repository_id, _ = await call.require("artifact-addition:read")
    await additions.get(repository_id, reference, AdditionKind.VULNERABILITIES)


@router.get(_ARTIFACT + "/additions/{addition}")
async def get_addition(
    call: Call,
    reference: Reference,
    addition: AdditionKind,
    additions: Annotated[Additions, Depends(get_additions)],
) -> Response:
    """Return the addition: of an image its build history, of a chart its values, readme or dependencies."""
    _, repository_id, _ = await call.require("artifact-addition:read")
    found = await additions.get(repository_id, reference, addition)
    # it comes from whoever pushed it
    headers = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox; default-src 'none'"}
    return Response(found.content, media_type=found.content_type, headers=headers)


@router.post(_ARTIFACT + "/labels")
async def add_label(call: Call, reference: Reference, body: LabelBody) -> None:
    """Put a label of the project, or a global one, on the artifact."""
    name, _, _ = await call.require("artifact-label:create")
    await call.artifacts.add_label(call.caller.actor, name, reference, body.id)


@router.delete(_ARTIFACT + "/labels/{label_id}")
async def remove_label(
    call: Call, reference: Reference, label_id: Annotated[int, Path(ge=1, le=_MAX_ID)]
) -> None:
    """Take the label off the artifact."""
    name, _, _ = await call.require("artifact-label:delete")
    await call.artifacts.remove_label(call.caller.actor, name, reference, label_id)


@router.get("/projects/{project_name_or_id}/artifacts", response_model_exclude_none=True)
async def list_artifacts_of_project(
    services: ServicesParameter,
    caller: CallerParameter,
    listing: ListingParameter,
    parts: Parts,
    key: Annotated[int | str, Depends(get_project_key)],
    *,
    latest_in_repository: Annotated[bool, Query()] = False,
) -> list[ArtifactAnswer]:
    """List the artifacts of all repositories of the project that the caller may list."""
    if isinstance(key, int):
        project = await services.database.read(find_project_facts_by_id, key)
    else:
        project = (await services.puller.locate(key)).project
    if not may_somewhere_in_project(caller.principal, project, "artifact:list"):
        caller.require_in_project(project, "artifact:list")
    if project is None:
        raise NotFoundError(f"project {key} not found")
    if latest_in_repository and not _names_a_type(listing):
        raise BadRequestError(
            "latest_in_repository needs a type", hint="add q=media_type=... or artifact_type"
        )
    scope = ArtifactScope(
        project.id,
        repositories=repository_scope(caller.principal, "artifact:list"),
        latest_only=latest_in_repository,
    )
    return await _answer_page(Artifacts(services.database), scope, listing, parts)


def _names_a_type(listing: Listing) -> bool:
    return any(condition.key in {"media_type", "artifact_type"} for condition in listing.query.conditions)
