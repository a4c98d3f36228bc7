"""`/robots`: robots of the system and of projects, their secrets and trust rules."""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from homeport.auth.secret import Secret
from homeport.control.errors import BadRequestError
from homeport.control.robot_credentials import RobotCredentials, TrustRequest
from homeport.control.robots import Access, CreatedRobot, PermissionEntry, RobotRequest, Robots, RobotView
from homeport.db.robots import StoredSecret, StoredTrust
from homeport.rules.listing import Condition, ListQuery, Match
from homeport.rules.robots import NEVER, ClaimPattern
from homeport.web.api.conventions import (
    CallerParameter,
    ListParameter,
    ServicesParameter,
    set_location,
    set_page_headers,
)

router = APIRouter()

RowId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class AccessModel(BaseModel):
    """Harbor's `Access`."""

    resource: str = Field(max_length=64)
    action: str = Field(max_length=64)
    effect: str | None = Field(None, max_length=16)


class RobotPermissionModel(BaseModel):
    """Harbor's `RobotPermission`."""

    kind: str = Field(max_length=16)
    namespace: str = Field("", max_length=255)
    access: list[AccessModel] = Field(default_factory=list, max_length=500)


class RobotBody(BaseModel):
    """Harbor's `RobotCreate`, and `Robot` as it is sent to change one."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", max_length=512)
    description: str | None = Field(None, max_length=1024)
    secret: str | None = Field(None, max_length=1024)
    level: str = Field("", max_length=16)
    disable: bool | None = None
    duration: int | None = Field(None, ge=-(2**31), lt=2**31)
    permissions: list[RobotPermissionModel] = Field(default_factory=list, max_length=500)


class RobotCreatedModel(BaseModel):
    """Harbor's `RobotCreated`."""

    id: int
    name: str
    secret: str
    creation_time: datetime
    expires_at: int


class RobotModel(BaseModel):
    """Harbor's `Robot`, with when and from where it was last used."""

    id: int
    name: str
    description: str
    level: str
    duration: int
    editable: bool = True
    disable: bool
    expires_at: int
    permissions: list[RobotPermissionModel]
    creator_type: str
    creator_ref: int
    creation_time: datetime
    update_time: datetime
    last_used_time: datetime | None = None
    last_used_address: str | None = None


class SecretBody(BaseModel):
    """Harbor's `RobotSec`; with `overlap_hours` the secrets of before go on for so long."""

    secret: str | None = Field(None, max_length=1024)
    overlap_hours: float = Field(0, ge=0, le=8760)


class SecretAnswer(BaseModel):
    """Harbor's `RobotSec`: a secret that was generated is shown this once."""

    secret: str | None = None


class SecretModel(BaseModel):
    """A secret of a robot, without its value."""

    id: int
    creation_time: datetime
    expires_at: datetime | None = None


class TrustBody(BaseModel):
    """A trust rule as it is sent; a claim has one pattern or a list of them."""

    model_config = ConfigDict(extra="forbid")

    issuer: str = Field(max_length=512)
    audience: str = Field(max_length=255)
    claims: dict[str, str | list[str]] = Field(max_length=20)
    jwks: dict[str, Any] | None = None


class TrustModel(BaseModel):
    """A trust rule."""

    id: int
    issuer: str
    audience: str
    claims: dict[str, list[str]]
    jwks: dict[str, Any] | None = None
    creation_time: datetime


def get_robots(services: ServicesParameter) -> Robots:
    """Return the service."""
    return Robots(services.database, services.passwords)


def get_credentials(services: ServicesParameter) -> RobotCredentials:
    """Return the service."""
    return RobotCredentials(services.database, get_robots(services), services.issuers)


RobotsParameter = Annotated[Robots, Depends(get_robots)]
CredentialsParameter = Annotated[RobotCredentials, Depends(get_credentials)]


@router.get("/robots", response_model_exclude_none=True)
async def list_robots(
    request: Request,
    response: Response,
    caller: CallerParameter,
    robots: RobotsParameter,
    query: ListParameter,
) -> list[RobotModel]:
    """List the robots of the system, or with `q=Level=project,ProjectID=1` those of a project."""
    caller.require_login()
    project, rest = _split_level(query)
    views, total = await robots.list(caller.principal, rest, project)
    set_page_headers(request, response, query, total)
    return [robot_model(view) for view in views]


@router.post("/robots", status_code=201)
async def create_robot(
    request: Request, response: Response, caller: CallerParameter, robots: RobotsParameter, body: RobotBody
) -> RobotCreatedModel:
    """Make a robot; its secret is shown this once."""
    caller.require_login()
    created = await robots.create(caller.principal, caller.actor, _request(body))
    set_location(request, response, created.id)
    return created_model(created)


@router.get("/robots/{robot_id}", response_model_exclude_none=True)
async def get_robot(robot_id: RowId, caller: CallerParameter, robots: RobotsParameter) -> RobotModel:
    """Return one robot."""
    caller.require_login()
    return robot_model(await robots.get(caller.principal, robot_id))


@router.put("/robots/{robot_id}")
async def update_robot(
    robot_id: RowId, caller: CallerParameter, robots: RobotsParameter, body: RobotBody
) -> None:
    """Change a robot; its name and level stay."""
    caller.require_login()
    await robots.update(caller.principal, caller.actor, robot_id, _request(body))


@router.delete("/robots/{robot_id}")
async def delete_robot(robot_id: RowId, caller: CallerParameter, robots: RobotsParameter) -> None:
    """Delete a robot."""
    caller.require_login()
    await robots.delete(caller.principal, caller.actor, robot_id)


@router.patch("/robots/{robot_id}", response_model_exclude_none=True)
async def refresh_secret(
    robot_id: RowId, caller: CallerParameter, credentials: CredentialsParameter, body: SecretBody
) -> SecretAnswer:
    """Give a robot a new secret, the one that is sent or a generated one."""
    caller.require_login()
    given = Secret(body.secret) if body.secret else None
    secret = await credentials.refresh_secret(
        caller.principal, caller.actor, robot_id, given, body.overlap_hours
    )
    return SecretAnswer(secret=None if given else secret.reveal())


@router.get("/robots/{robot_id}/secrets", response_model_exclude_none=True)
async def list_secrets(
    robot_id: RowId, caller: CallerParameter, credentials: CredentialsParameter
) -> list[SecretModel]:
    """List the secrets of a robot, without their values."""
    caller.require_login()
    return [_secret_model(each) for each in await credentials.list_secrets(caller.principal, robot_id)]


@router.delete("/robots/{robot_id}/secrets/{secret_id}")
async def revoke_secret(
    robot_id: RowId, secret_id: RowId, caller: CallerParameter, credentials: CredentialsParameter
) -> None:
    """End one secret of a robot, and the tokens that were given for it."""
    caller.require_login()
    await credentials.revoke_secret(caller.principal, caller.actor, robot_id, secret_id)


@router.get("/robots/{robot_id}/trusts", response_model_exclude_none=True)
async def list_trusts(
    robot_id: RowId, caller: CallerParameter, credentials: CredentialsParameter
) -> list[TrustModel]:
    """List the trust rules of a robot."""
    caller.require_login()
    return [_trust_model(each) for each in await credentials.list_trusts(caller.principal, robot_id)]


@router.post("/robots/{robot_id}/trusts", status_code=201, response_model_exclude_none=True)
async def create_trust(
    request: Request,
    response: Response,
    caller: CallerParameter,
    credentials: CredentialsParameter,
    robot_id: RowId,
    body: TrustBody,
) -> TrustModel:
    """Let the workloads that the rule describes act as the robot."""
    caller.require_login()
    claims = tuple(
        ClaimPattern(path, (patterns,) if isinstance(patterns, str) else tuple(patterns))
        for path, patterns in body.claims.items()
    )
    wanted = TrustRequest(body.issuer, body.audience, claims, body.jwks)
    trust = await credentials.add_trust(caller.principal, caller.actor, robot_id, wanted)
    set_location(request, response, trust.id)
    return _trust_model(trust)


@router.delete("/robots/{robot_id}/trusts/{trust_id}")
async def delete_trust(
    robot_id: RowId, trust_id: RowId, caller: CallerParameter, credentials: CredentialsParameter
) -> None:
    """Delete a trust rule of a robot, and end the tokens that were given by it."""
    caller.require_login()
    await credentials.delete_trust(caller.principal, caller.actor, robot_id, trust_id)


def _split_level(query: ListQuery) -> tuple[str | None, ListQuery]:
    """Return the project that the list is of, None for the system, and the rest of the query."""
    level = project = None
    rest: list[Condition] = []
    for condition in query.conditions:
        key = condition.key.lower().replace("_", "")
        if key in {"level", "projectid"} and condition.match is not Match.EXACT:
            raise BadRequestError(f"{condition.key} must be one value")
        match key:
            case "level":
                level = condition.values[0]
            case "projectid":
                project = condition.values[0]
            case _:
                rest.append(condition)
    match level, project:
        case (("system" | None), None):
            pass
        case (("project" | None), str()) if project.isascii() and project.isdigit():
            pass
        case _:
            raise BadRequestError(
                "level and project do not go together",
                hint="use q=Level=system or q=Level=project,ProjectID=1",
            )
    return project, ListQuery(tuple(rest), query.orders, query.page, query.page_size)


def _request(body: RobotBody) -> RobotRequest:
    return RobotRequest(
        name=body.name,
        level=body.level,
        description=body.description or "",
        secret=Secret(body.secret) if body.secret else None,
        is_disabled=bool(body.disable),
        duration_days=body.duration,
        permissions=tuple(_entry(entry) for entry in body.permissions),
    )


def _entry(entry: RobotPermissionModel) -> PermissionEntry:
    access = tuple(Access(each.resource, each.action, each.effect or "") for each in entry.access)
    return PermissionEntry(entry.kind, entry.namespace, access)


def created_model(created: CreatedRobot) -> RobotCreatedModel:
    """Return a robot that was just made in Harbor's shape."""
    return RobotCreatedModel(
        id=created.id,
        name=created.login_name,
        secret=created.secret.reveal(),
        creation_time=created.created_at,
        expires_at=_epoch(created.expires_at),
    )


def robot_model(view: RobotView) -> RobotModel:
    """Return a robot in Harbor's shape."""
    stored = view.stored
    return RobotModel(
        id=stored.id,
        name=view.login_name,
        description=stored.description,
        level=view.level,
        duration=stored.duration_days,
        disable=stored.is_disabled,
        expires_at=_epoch(stored.expires_at),
        permissions=[
            RobotPermissionModel(
                kind=entry.kind,
                namespace=entry.namespace,
                access=[
                    AccessModel(resource=each.resource, action=each.action, effect=each.effect)
                    for each in entry.access
                ],
            )
            for entry in view.permissions
        ],
        creator_type="robot" if stored.creator_kind == "robot" else "local",
        creator_ref=stored.creator_id,
        creation_time=stored.created_at,
        update_time=stored.updated_at,
        last_used_time=stored.last_used_at,
        last_used_address=stored.last_used_address,
    )


def _secret_model(secret: StoredSecret) -> SecretModel:
    return SecretModel(id=secret.id, creation_time=secret.created_at, expires_at=secret.expires_at)


def _trust_model(trust: StoredTrust) -> TrustModel:
    return TrustModel(
        id=trust.id,
        issuer=trust.issuer,
        audience=trust.audience,
        claims={each.path: list(each.patterns) for each in trust.claims},
        jwks=None if trust.jwks is None else json.loads(trust.jwks),
        creation_time=trust.created_at,
    )


def _epoch(moment: datetime | None) -> int:
    return NEVER if moment is None else int(moment.timestamp())
