"""`/quotas`: what projects may store and do."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from homeport.control.errors import BadRequestError
from homeport.control.quotas import Quotas
from homeport.db.quotas import StoredQuota
from homeport.rules.listing import DEFAULT_PAGE_SIZE, parse_list_query
from homeport.web.api.conventions import CallerParameter, ServicesParameter, set_page_headers

router = APIRouter()


class QuotaRequest(BaseModel):
    """The new limits."""

    hard: dict[str, int]


class QuotaAnswer(BaseModel):
    """A quota and the project that it is of."""

    id: int
    ref: dict[str, Any]
    hard: dict[str, int]
    used: dict[str, int]
    creation_time: datetime
    update_time: datetime


@router.get("/quotas")
async def list_quotas(
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
    *,
    reference: Annotated[str, Query(max_length=64)] = "",
    reference_id: Annotated[str, Query(max_length=19, pattern="^[0-9]*$")] = "",
    sort: Annotated[str, Query(max_length=512)] = "",
    page: int = 1,
    page_size: int = DEFAULT_PAGE_SIZE,
) -> list[QuotaAnswer]:
    """List the quotas."""
    caller.require_in_system("quota:list")
    wanted = f"reference_id={reference_id}" if reference_id else ""
    query = parse_list_query(wanted, sort, page, page_size)
    if reference not in {"", "project"}:
        set_page_headers(request, response, query, 0)
        return []
    quotas, total = await Quotas(services.database).list(query)
    set_page_headers(request, response, query, total)
    return [_answer(quota) for quota in quotas]


@router.get("/quotas/{quota_id}")
async def get_quota(quota_id: int, caller: CallerParameter, services: ServicesParameter) -> QuotaAnswer:
    """Show a quota."""
    caller.require_in_system("quota:read")
    return _answer(await Quotas(services.database).find(quota_id))


@router.put("/quotas/{quota_id}")
async def update_quota(
    quota_id: int, body: QuotaRequest, caller: CallerParameter, services: ServicesParameter
) -> Response:
    """Set a quota's limit."""
    caller.require_in_system("quota:update")
    if set(body.hard) != {"storage"}:
        raise BadRequestError("hard must have a number for storage, and nothing else")
    await Quotas(services.database).change(caller.actor, quota_id, body.hard["storage"])
    return Response(status_code=200)


def _answer(quota: StoredQuota) -> QuotaAnswer:
    return QuotaAnswer(
        id=quota.id,
        ref={"id": quota.project_id, "name": quota.project_name, "owner_name": quota.owner_name},
        hard={"storage": quota.hard_bytes},
        used={"storage": quota.used_bytes},
        creation_time=quota.created_at,
        update_time=quota.updated_at,
    )
