"""Client certificates, beyond Harbor: `/client-certificates` maps their names to users and robots."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from homeport.control.certificates import CertificateNames
from homeport.web.api.conventions import CallerParameter, ServicesParameter, set_location

router = APIRouter()


class CertificateNameRequest(BaseModel):
    """A name in certificates and the account that it stands for."""

    model_config = ConfigDict(extra="forbid")

    field: Literal["subject", "san"]
    value: str = Field(min_length=1, max_length=512)
    user_id: int | None = None
    robot_id: int | None = None


class CertificateNameAnswer(BaseModel):
    """A name that is mapped."""

    id: int
    field: str
    value: str
    user_id: int | None
    robot_id: int | None
    creation_time: str


@router.get("/client-certificates", response_model_exclude_none=True)
async def list_names(caller: CallerParameter, services: ServicesParameter) -> list[CertificateNameAnswer]:
    """List the names in client certificates that stand for accounts."""
    caller.require_in_system("configuration:read")
    return [
        CertificateNameAnswer(
            id=name.id,
            field=name.field,
            value=name.value,
            user_id=name.user_id,
            robot_id=name.robot_id,
            creation_time=name.created_at.isoformat(),
        )
        for name in await CertificateNames(services.database).names()
    ]


@router.post("/client-certificates", status_code=201)
async def add_name(
    body: CertificateNameRequest,
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
) -> None:
    """Map a name in client certificates to a user or a robot."""
    caller.require_in_system("configuration:update")
    name_id = await CertificateNames(services.database).add(
        caller.actor, (body.field, body.value), user_id=body.user_id, robot_id=body.robot_id
    )
    set_location(request, response, name_id)


@router.delete("/client-certificates/{name_id}")
async def delete_name(name_id: int, caller: CallerParameter, services: ServicesParameter) -> None:
    """Take a mapping away."""
    caller.require_in_system("configuration:update")
    await CertificateNames(services.database).remove(caller.actor, name_id)
