"""Signing in at an OpenID provider with a browser, at Harbor's paths below `/c/oidc`."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from homeport.auth.oidc_login import FLOW_LIFETIME, checked_target
from homeport.auth.oidc_settings import CALLBACK_PATH
from homeport.auth.secret import Secret
from homeport.control.errors import BadRequestError
from homeport.control.oidc import Newcomer
from homeport.db.actor import Actor
from homeport.web.api.callers import SESSION_COOKIE
from homeport.web.api.conventions import ServicesParameter
from homeport.web.api.services import Services
from homeport.web.api.session import refuse_other_sites, set_session_cookie

router = APIRouter(tags=["oidc"])

ONBOARD_PAGE = "/oidc-onboard"
FLOW_COOKIE = "oidc_flow"
NEWCOMER_COOKIE = "oidc_newcomer"

_PATH = "/c/oidc"
_FOUND = 302


class OnboardBody(BaseModel):
    """The name that a newcomer chose."""

    username: Annotated[str, Field(max_length=255)]


@router.get("/c/oidc/login", status_code=_FOUND)
async def begin(
    request: Request,
    services: ServicesParameter,
    redirect_url: Annotated[str, Query(max_length=4096)] = "/",
) -> Response:
    """Send the browser to the provider; `redirect_url` is a path of this server for afterwards."""
    base = _base_url(request, services)
    begun = await services.oidc.begin(f"{base}{CALLBACK_PATH}", redirect_url)
    response = _redirect(begun.url)
    _set_cookie(response, FLOW_COOKIE, begun.cookie, is_secure=base.startswith("https:"))
    return response


@router.get("/c/oidc/callback", status_code=_FOUND)
async def finish(request: Request, services: ServicesParameter) -> Response:
    """Take the provider's answer: begin a session, or let a newcomer choose a name."""
    answer = dict(request.query_params)
    if len(answer) != len(request.query_params.multi_items()):
        raise BadRequestError("a parameter is repeated")
    cookie = request.cookies.get(FLOW_COOKIE, "")
    old_session = request.cookies.get(SESSION_COOKIE)
    outcome = await services.oidc.finish(_actor(request, services), cookie, answer, old_session)
    if isinstance(outcome, Newcomer):
        query = urlencode({"username": outcome.suggestion, "redirect_url": outcome.target})
        response = _redirect(f"{ONBOARD_PAGE}?{query}")
        is_secure = _base_url(request, services).startswith("https:")
        _set_cookie(response, NEWCOMER_COOKIE, outcome.cookie, is_secure=is_secure)
    else:
        response = _redirect(checked_target(outcome.target))
        set_session_cookie(request, response, services, outcome.session.cookie)
        request.state.csrf_token = outcome.session.csrf_token
    response.delete_cookie(FLOW_COOKIE, path=_PATH, httponly=True, samesite="lax")
    return response


@router.post("/c/oidc/onboard")
async def onboard(
    body: OnboardBody, request: Request, response: Response, services: ServicesParameter
) -> None:
    """Make the account of a newcomer under the chosen name, and begin a session."""
    refuse_other_sites(request, services)
    cookie = request.cookies.get(NEWCOMER_COOKIE, "")
    old_session = request.cookies.get(SESSION_COOKIE)
    actor = _actor(request, services)
    opened = await services.oidc.onboard(actor, cookie, body.username, old_session)
    request.state.csrf_token = opened.csrf_token
    set_session_cookie(request, response, services, opened.cookie)
    response.delete_cookie(NEWCOMER_COOKIE, path=_PATH, httponly=True, samesite="lax")


def _redirect(url: str) -> RedirectResponse:
    headers = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
    return RedirectResponse(url, _FOUND, headers)


def _set_cookie(response: Response, name: str, value: Secret, *, is_secure: bool) -> None:
    lifetime = int(FLOW_LIFETIME.total_seconds())
    response.set_cookie(
        name, value.reveal(), lifetime, path=_PATH, secure=is_secure, httponly=True, samesite="lax"
    )


def _actor(request: Request, services: Services) -> Actor:
    address = services.forwarding.client_address(request.scope, dict(request.scope["headers"]))
    return services.callers.actor(request, "", "", address)


def _base_url(request: Request, services: Services) -> str:
    return services.forwarding.base_url(request.scope, dict(request.scope["headers"]))
