"""Signing in and out with a browser, at the paths of Harbor's own pages: `/c/login` and `/c/log_out`."""

from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Request, Response

from homeport.auth.secret import Secret
from homeport.control.errors import BadRequestError, ForbiddenError
from homeport.web.api.callers import SESSION_COOKIE
from homeport.web.api.conventions import CallerParameter, ServicesParameter
from homeport.web.api.services import Services

router = APIRouter(tags=["session"])

MAX_FORM_BYTES = 16 * 1024
_MAX_FIELDS = 20
_FORM_TYPE = "application/x-www-form-urlencoded"


@router.post("/c/login")
async def sign_in(request: Request, response: Response, services: ServicesParameter) -> None:
    """Begin a session for the `principal` and `password` of a form; the cookie `sid` carries it."""
    refuse_other_sites(request, services)
    form = await _read_form(request)
    address = services.forwarding.client_address(request.scope, dict(request.scope["headers"]))
    actor = services.callers.actor(request, form.get("principal", ""), "", address)
    opened = await services.browser_login.sign_in(
        actor, actor.principal, Secret(form.get("password", "")), request.cookies.get(SESSION_COOKIE)
    )
    request.state.csrf_token = opened.csrf_token
    set_session_cookie(request, response, services, opened.cookie)


@router.get("/c/log_out")
@router.post("/c/log_out")
async def sign_out(
    request: Request, response: Response, caller: CallerParameter, services: ServicesParameter
) -> None:
    """End the browser's session; may be repeated. A POST must carry the session's CSRF token."""
    refuse_other_sites(request, services)
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie:
        await services.browser_login.sign_out(caller.actor, cookie)
    request.state.csrf_token = None
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")


def set_session_cookie(request: Request, response: Response, services: Services, cookie: Secret) -> None:
    """Give the browser its session; no script reads it, no other site's form sends it."""
    response.set_cookie(
        SESSION_COOKIE,
        cookie.reveal(),
        path="/",
        secure=_base_url(request, services).startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    response.headers["cache-control"] = "no-store"


def refuse_other_sites(request: Request, services: Services) -> None:
    """Raise ForbiddenError for what another site makes a browser send: it would sign the user in or out."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise ForbiddenError("requests of other sites are not accepted here")
    origin = request.headers.get("origin")
    if origin is not None and _host(origin) != _host(_base_url(request, services)):
        raise ForbiddenError("requests of other sites are not accepted here")


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _base_url(request: Request, services: Services) -> str:
    return services.forwarding.base_url(request.scope, dict(request.scope["headers"]))


async def _read_form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise BadRequestError("the body is no form", hint=f"send {_FORM_TYPE}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BadRequestError("the form is too long")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise BadRequestError("the form is malformed") from None
    form = dict(fields)
    if len(form) != len(fields) or any("\0" in value for value in form.values()):
        raise BadRequestError("a field of the form is repeated or holds a NUL")
    return form
