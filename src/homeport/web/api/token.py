"""/service/token: the token service over HTTP, GET with a query and POST with an OAuth2 form."""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from homeport.auth.errors import AuthenticationError, LoginSlowedDownError, SourceUnavailableError
from homeport.auth.login_event import RequestFacts
from homeport.auth.secret import Secret
from homeport.auth.token_service import TokenAnswer, TokenRequest, TokenService
from homeport.db.engine import DatabaseUnavailableError
from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode

PATH = "/service/token"
MAX_FORM_BYTES = 64 * 1024
MAX_QUERY_BYTES = 64 * 1024
MAX_FIELDS = 200
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type

_FORM_TIMEOUT_S = 30.0
_FORM_TYPE = "application/x-www-form-urlencoded"
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}
_TRUE = {"true", "1", "yes"}
_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"  # noqa: S105 - as above
_IDENTITY_TOKEN_TYPES = {f"{_TOKEN_TYPE}jwt", f"{_TOKEN_TYPE}id_token"}
_METHODS = "GET, HEAD, POST"

RequestFactsReader = Callable[[Scope], RequestFacts]
Fields = list[tuple[str, str]]


class TokenRequestError(HomeportError):
    """The request to the token service cannot be understood; `status` is the HTTP status that says why."""

    def __init__(self, message: str, *, status: int = 400, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def routes(service: TokenService, read_facts: RequestFactsReader) -> list[Route]:
    """Return the route of the token service.

    `read_facts` gives the client address, user agent and request id of a request.
    """
    return [Route(PATH, _TokenEndpoint(service, read_facts), methods=None)]


class _TokenEndpoint:
    """An ASGI application, so that every method is answered in this surface's own form."""

    def __init__(self, service: TokenService, read_facts: RequestFactsReader) -> None:
        self._service = service
        self._read_facts = read_facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = self._read_facts(scope)
        try:
            answer = await self._answer(Request(scope, receive), facts)
        except (OciError, TokenRequestError, DatabaseUnavailableError) as error:
            response = _error_response(error, self._service.service)
        else:
            response = Response(orjson.dumps(answer), media_type="application/json")
        response.headers["x-request-id"] = facts.request_id
        response.headers["cache-control"] = "no-store"
        response.headers["pragma"] = "no-cache"
        await response(scope, receive, send)

    async def _answer(self, request: Request, facts: RequestFacts) -> dict[str, object]:
        match request.method:
            case "GET" | "HEAD":
                fields = _parse_fields(_query(request), "utf-8")
                asked = TokenRequest(
                    scopes=_all(fields, "scope"),
                    client_id=_single(fields, "client_id"),
                    wants_refresh_token=_single(fields, "offline_token").lower() in _TRUE,
                )
                given = await self._service.answer_header(_authorization(request), asked, facts)
                return {"token": given.access_token.reveal(), **_describe(given)}
            case "POST":
                fields = _parse_fields(*await _read_form(request))
                given = await self._answer_form(fields, facts)
                answer = {**_describe(given), "scope": " ".join(map(str, given.granted))}
                if _single(fields, "grant_type") == TOKEN_EXCHANGE:
                    answer |= {"issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
                return answer
            case _:
                raise TokenRequestError("this method is not supported here", status=405)

    async def _answer_form(self, fields: Fields, facts: RequestFacts) -> TokenAnswer:
        asked = TokenRequest(
            scopes=_all(fields, "scope"),
            client_id=_single(fields, "client_id"),
            wants_refresh_token=_single(fields, "access_type") == "offline",
        )
        match _single(fields, "grant_type"):
            case "password":
                password = Secret(_single(fields, "password"))
                return await self._service.answer_password(
                    _single(fields, "username"), password, asked, facts
                )
            case "refresh_token":
                token = Secret(_single(fields, "refresh_token"))
                return await self._service.answer_refresh_token(token, asked, facts)
            case grant_type if grant_type == TOKEN_EXCHANGE:
                return await self._answer_exchange(fields, asked, facts)
            case _:
                raise TokenRequestError(
                    "the grant type is missing or not supported",
                    hint=f"use grant_type=password, refresh_token or {TOKEN_EXCHANGE}",
                )

    async def _answer_exchange(self, fields: Fields, asked: TokenRequest, facts: RequestFacts) -> TokenAnswer:
        """Answer a token exchange (RFC 8693, 2.1); `client_id` may name the robot."""
        if _single(fields, "subject_token_type") not in _IDENTITY_TOKEN_TYPES:
            raise TokenRequestError(
                "the type of the subject token is missing or not supported",
                hint=f"use subject_token_type={_TOKEN_TYPE}jwt or {_TOKEN_TYPE}id_token",
            )
        if _single(fields, "requested_token_type") not in {"", ACCESS_TOKEN, f"{_TOKEN_TYPE}jwt"}:
            raise TokenRequestError("only access tokens are given", hint=f"use {ACCESS_TOKEN}")
        if _single(fields, "actor_token"):
            raise TokenRequestError("actor tokens are not supported")
        token = Secret(_single(fields, "subject_token"))
        return await self._service.answer_exchange(token, asked.client_id, asked, facts)


def _describe(given: TokenAnswer) -> dict[str, object]:
    described: dict[str, object] = {
        "access_token": given.access_token.reveal(),
        "expires_in": given.expires_in_s,
        "issued_at": given.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if given.refresh_token is not None:
        described["refresh_token"] = given.refresh_token.reveal()
    return described


def _authorization(request: Request) -> bytes | None:
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise TokenRequestError("the Authorization header is repeated")
    return values[0] if values else None


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise TokenRequestError("the query is too long", status=414)
    return query


async def _read_form(request: Request) -> tuple[bytes, str]:
    content_type, _, parameters = request.headers.get("content-type", _FORM_TYPE).partition(";")
    if content_type.strip().lower() != _FORM_TYPE:
        raise TokenRequestError("the body is no form", status=415, hint=f"send {_FORM_TYPE}")
    body = bytearray()
    try:
        async with asyncio.timeout(_FORM_TIMEOUT_S):
            if _announced_length(request.headers) > MAX_FORM_BYTES:
                raise _too_large()
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FORM_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise TokenRequestError("the form did not arrive in time", status=408) from None
    except ClientDisconnect:
        raise TokenRequestError("the form did not arrive whole") from None
    return bytes(body), _charset(parameters)


def _announced_length(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _too_large() -> TokenRequestError:
    return TokenRequestError(f"the form has more than {MAX_FORM_BYTES} bytes", status=413)


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = _CHARSETS.get(value.strip().strip('"').lower())
            if charset is None:
                raise TokenRequestError("the form's charset is not supported", status=415, hint="use UTF-8")
            return charset
    return "utf-8"


def _parse_fields(text: bytes, charset: str) -> Fields:
    try:
        fields = parse_qsl(
            text.decode(charset),
            keep_blank_values=True,
            encoding=charset,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise TokenRequestError("the parameters are malformed or too many") from None
    if any("\0" in value for _, value in fields):
        raise TokenRequestError("a parameter holds a NUL")
    return fields


def _all(fields: Fields, name: str) -> tuple[str, ...]:
    return tuple(value for key, value in fields if key == name)


def _single(fields: Fields, name: str) -> str:
    values = _all(fields, name)
    if len(values) > 1:
        raise TokenRequestError(f"the parameter {name} is repeated")
    return values[0] if values else ""


def _error_response(error: HomeportError, service: str) -> Response:
    status, code, detail, headers = 400, OciErrorCode.UNSUPPORTED, None, {}
    match error:
        case TokenRequestError():
            status = error.status
            headers = {"allow": _METHODS} if status == 405 else {}  # noqa: PLR2004 - the status that needs it
        case LoginSlowedDownError():
            status, code, headers = 429, error.code, {"retry-after": str(error.retry_after_s)}
        case AuthenticationError():
            status, code = 401, error.code
            headers = {"www-authenticate": f'Basic realm="{service}", charset="UTF-8"'}
        case SourceUnavailableError():
            status, code, headers = 503, error.code, {"retry-after": "5"}
        case OciError():
            code, detail = error.code, error.detail
        case DatabaseUnavailableError():
            status, code, headers = 503, OciErrorCode.UNAVAILABLE, {"retry-after": "5"}
    message = f"{error}; {error.hint}" if error.hint else str(error)
    body = {"errors": [{"code": code.name, "message": message, "detail": detail}]}
    return Response(orjson.dumps(body), status, headers, "application/json")
