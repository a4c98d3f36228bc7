"""`/systeminfo`: what the server says of itself, its root certificate and its volumes."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from homeport.control.systeminfo import has_certificate, measure_volumes, read_certificate
from homeport.web.api.conventions import CallerParameter, ServicesParameter

router = APIRouter(tags=["systeminfo"])

# clients choose by it what they can ask of the API
HARBOR_VERSION = "v2.16.0"


class GeneralInfo(BaseModel):
    """What the server says of itself; strangers get the first few fields alone."""

    auth_mode: str
    primary_auth_mode: bool
    self_registration: bool
    banner_message: str | None = None
    oidc_provider_name: str | None = None
    harbor_version: str | None = None
    current_time: datetime | None = None
    registry_url: str | None = None
    external_url: str | None = None
    project_creation_restriction: str | None = None
    has_ca_root: bool | None = None
    registry_storage_provider_name: str | None = None
    read_only: bool | None = None
    notification_enable: bool | None = None


class Storage(BaseModel):
    """A volume; sizes in bytes."""

    total: int
    free: int


class SystemInfo(BaseModel):
    """The volumes that content is on."""

    storage: list[Storage]


@router.get("/systeminfo", response_model_exclude_none=True)
async def get_system_info(
    request: Request, caller: CallerParameter, services: ServicesParameter
) -> GeneralInfo:
    """Return what strangers must know to sign in, and more for everybody who has."""
    configuration = await services.configuration.read()
    is_oidc = configuration.auth_mode == "oidc_auth"
    public = GeneralInfo(
        auth_mode=configuration.auth_mode,
        primary_auth_mode=configuration.primary_auth_mode,
        self_registration=configuration.self_registration,
        banner_message=configuration.banner_message or None,
        oidc_provider_name=configuration.oidc_name or None if is_oidc else None,
    )
    if caller.principal.is_anonymous:
        return public
    base_url = services.forwarding.base_url(request.scope, dict(request.scope["headers"]))
    return public.model_copy(
        update={
            "harbor_version": f"{HARBOR_VERSION}-homeport-{services.facts.version}",
            "current_time": datetime.now(UTC),
            "registry_url": base_url.partition("://")[2],
            "external_url": base_url,
            "project_creation_restriction": configuration.project_creation_restriction,
            "has_ca_root": has_certificate(services.facts.ca_certificate),
            "registry_storage_provider_name": "filesystem",
            "read_only": configuration.read_only,
            "notification_enable": configuration.notification_enable,
        }
    )


@router.get("/systeminfo/getcert")
async def get_certificate(services: ServicesParameter) -> Response:
    """Return the root certificate that clients are to trust, as a file; 404 without an own authority."""
    content = read_certificate(services.facts.ca_certificate)
    headers = {"content-disposition": "attachment; filename=ca.crt"}
    return Response(content, headers=headers, media_type="application/octet-stream")


@router.get("/systeminfo/volumes")
async def get_volumes(caller: CallerParameter, services: ServicesParameter) -> SystemInfo:
    """Return the sizes of the volumes that content is on."""
    caller.require_in_system("system-volumes:read")
    # a network file system may take its time
    volumes = await asyncio.to_thread(measure_volumes, (services.facts.storage, services.facts.data))
    return SystemInfo(
        storage=[Storage(total=volume.total_bytes, free=volume.free_bytes) for volume in volumes]
    )
