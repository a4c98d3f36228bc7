"""How errors look under /v2: status, code and body, in one place."""

from dataclasses import dataclass

import orjson

from homeport.auth.errors import LoginSlowedDownError
from homeport.blobs.store import (
    DigestMismatchError,
    StorageUnavailableError,
    UploadBusyError,
    UploadUnknownError,
)
from homeport.db.engine import DatabaseUnavailableError
from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode
from homeport.oci.ranges import RangeUnsatisfiableError
from homeport.registry.errors import MissingContentError
from homeport.registry.journal import JournalError
from homeport.web.v2.request import (
    BodyTimeoutError,
    BodyTooLargeError,
    ClientDisconnectedError,
    Header,
    QueryInvalidError,
)

STATUS: dict[OciErrorCode, int] = {
    OciErrorCode.BLOB_UNKNOWN: 404,
    OciErrorCode.BLOB_UPLOAD_INVALID: 400,
    OciErrorCode.BLOB_UPLOAD_UNKNOWN: 404,
    OciErrorCode.DENIED: 403,
    OciErrorCode.DIGEST_INVALID: 400,
    OciErrorCode.MANIFEST_BLOB_UNKNOWN: 400,
    OciErrorCode.MANIFEST_INVALID: 400,
    OciErrorCode.MANIFEST_UNKNOWN: 404,
    OciErrorCode.NAME_INVALID: 400,
    OciErrorCode.NAME_UNKNOWN: 404,
    OciErrorCode.PAGINATION_NUMBER_INVALID: 400,
    OciErrorCode.RANGE_INVALID: 416,
    OciErrorCode.SIZE_INVALID: 400,
    OciErrorCode.TAG_INVALID: 400,
    OciErrorCode.TOOMANYREQUESTS: 429,
    OciErrorCode.UNAUTHORIZED: 401,
    OciErrorCode.UNAVAILABLE: 503,
    OciErrorCode.UNKNOWN: 500,
    OciErrorCode.UNSUPPORTED: 405,
}

_OTHERS: dict[type[HomeportError], tuple[int, OciErrorCode]] = {
    UploadUnknownError: (404, OciErrorCode.BLOB_UPLOAD_UNKNOWN),
    DigestMismatchError: (400, OciErrorCode.DIGEST_INVALID),
    UploadBusyError: (409, OciErrorCode.BLOB_UPLOAD_INVALID),
    ClientDisconnectedError: (400, OciErrorCode.SIZE_INVALID),
    BodyTimeoutError: (408, OciErrorCode.BLOB_UPLOAD_INVALID),
    BodyTooLargeError: (413, OciErrorCode.MANIFEST_INVALID),
    QueryInvalidError: (400, OciErrorCode.UNSUPPORTED),
}

RETRY_SOON: Header = (b"retry-after", b"5")


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error on the wire; `headers` are beside the usual ones."""

    status: int
    code: OciErrorCode
    message: str
    details: tuple[object, ...] = (None,)
    headers: tuple[Header, ...] = ()

    def body(self) -> bytes:
        """Return the JSON body (distribution-spec, "Error Codes"), one entry per detail."""
        return orjson.dumps(
            {
                "errors": [
                    {"code": self.code.name, "message": self.message, "detail": detail}
                    for detail in self.details
                ]
            }
        )


def describe(error: HomeportError) -> ErrorAnswer:
    """Return the answer to an error that was raised on purpose."""
    message = f"{error}; {error.hint}" if error.hint else str(error)
    match error:
        case MissingContentError():
            return ErrorAnswer(STATUS[error.code], error.code, message, tuple(error.digests))
        case RangeUnsatisfiableError():
            header = (b"content-range", b"bytes */%d" % error.size_bytes)
            return ErrorAnswer(STATUS[error.code], error.code, message, (error.detail,), (header,))
        case LoginSlowedDownError():
            wait = (b"retry-after", b"%d" % error.retry_after_s)
            return ErrorAnswer(STATUS[error.code], error.code, message, (error.detail,), (wait,))
        case OciError():
            retry = (RETRY_SOON,) if error.code is OciErrorCode.UNAVAILABLE else ()
            return ErrorAnswer(STATUS[error.code], error.code, message, (error.detail,), retry)
        case StorageUnavailableError() | DatabaseUnavailableError() | JournalError():
            return ErrorAnswer(503, OciErrorCode.UNAVAILABLE, message, headers=(RETRY_SOON,))
        case _:
            status, code = _OTHERS.get(type(error), (500, OciErrorCode.UNKNOWN))
            return ErrorAnswer(status, code, message)
