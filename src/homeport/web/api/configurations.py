"""`/configurations`: what administrators configure while the server runs, as Harbor's API serves it."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from homeport.control.configuration import ConfigurationService
from homeport.control.errors import ForbiddenError
from homeport.web.api.conventions import CallerParameter, ServicesParameter
from homeport.web.api.services import Services

router = APIRouter(tags=["configure"])


class ConfigurationItem(BaseModel):
    """A setting's value, and whether it can be changed now."""

    value: str | bool | int
    editable: bool


def _configuration(services: Services) -> ConfigurationService:
    return ConfigurationService(services.database, services.sealer, services.configuration)


@router.get("/configurations")
async def get_configurations(
    caller: CallerParameter, services: ServicesParameter
) -> dict[str, ConfigurationItem]:
    """Return every setting but the secrets."""
    caller.require_in_system("configuration:read")
    described = await _configuration(services).describe()
    return {
        name: ConfigurationItem(value=state.value, editable=state.is_editable)
        for name, state in described.items()
    }


@router.put("/configurations")
async def update_configurations(
    body: dict[str, Any], caller: CallerParameter, services: ServicesParameter
) -> None:
    """Change the settings of the body, all or none."""
    caller.require_in_system("configuration:update")
    await _configuration(services).change(caller.actor, body)


@router.get("/internalconfig")
async def get_internal_configuration(caller: CallerParameter) -> None:
    """Refuse everybody: in Harbor this is for its own components, and Homeport's read the database."""
    caller.require_login()
    raise ForbiddenError("the internal configuration is for components of the server alone")
