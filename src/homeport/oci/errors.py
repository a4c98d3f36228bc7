"""Error codes of the distribution specification ("Error Codes") and the errors that carry them."""

from enum import Enum

from homeport.errors import HomeportError


class OciErrorCode(Enum):
    """Every code that `/v2` answers with, and what it means."""

    BLOB_UNKNOWN = "the blob is not known to this repository"
    BLOB_UPLOAD_INVALID = "the upload cannot go on as asked"
    BLOB_UPLOAD_UNKNOWN = "the upload is not known to this repository: finished, cancelled or expired"
    DENIED = "the account may not do this"
    DIGEST_INVALID = "the digest is malformed, not supported or does not match the content"
    MANIFEST_BLOB_UNKNOWN = "the manifest names content that this repository does not have"
    MANIFEST_INVALID = "the manifest is malformed or not acceptable"
    MANIFEST_UNKNOWN = "the manifest is not known to this repository"
    NAME_INVALID = "the repository name is not acceptable"
    NAME_UNKNOWN = "the repository is not known"
    PAGINATION_NUMBER_INVALID = "the page size is not a number that can be used"
    RANGE_INVALID = "the range cannot be satisfied"
    SIZE_INVALID = "the length of the content is not the announced one"
    TAG_INVALID = "the tag is malformed"
    TOOMANYREQUESTS = "too many requests: slow down"
    UNAUTHORIZED = "authentication is required or was refused"
    UNAVAILABLE = "the service cannot answer now: try again"
    UNKNOWN = "an unexpected error happened"
    UNSUPPORTED = "the operation is not supported"


class OciError(HomeportError):
    """A request that the distribution specification has an error code for.

    `detail` is any JSON value that helps a program; it is sent to the client.
    """

    def __init__(
        self, code: OciErrorCode, message: str = "", *, detail: object = None, hint: str = ""
    ) -> None:
        super().__init__(message or code.value, hint=hint)
        self.code = code
        self.detail = detail
