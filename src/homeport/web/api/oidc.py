"""`/system/oidc/ping`: tries an OpenID provider before it is configured."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from homeport.control.oidc import ping_provider
from homeport.web.api.conventions import CallerParameter, ServicesParameter

router = APIRouter(tags=["oidc"])


class OidcEndpointBody(BaseModel):
    """The provider to try."""

    url: Annotated[str, Field(max_length=2048)] = ""
    verify_cert: bool = True


@router.post("/system/oidc/ping")
async def ping_oidc(body: OidcEndpointBody, caller: CallerParameter, services: ServicesParameter) -> None:
    """Ask a provider for its discovery document."""
    caller.require_in_system("configuration:update")
    await ping_provider(services.configuration, body.url, verifies=body.verify_cert)
