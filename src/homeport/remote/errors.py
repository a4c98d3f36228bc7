"""What can go wrong with content elsewhere, each with what the user can do about it."""

from homeport.errors import HomeportError
from homeport.oci.digest import Digest


class RemoteError(HomeportError):
    """Another registry, a layout or an archive could not do what was asked."""


class NotFoundError(RemoteError):
    """What was asked for is not there."""


class RefusedError(RemoteError):
    """The other side knows what was asked and does not allow it (401, 403, 412)."""


class TransientError(RemoteError):
    """The other side could not answer now; the same request may succeed later.

    `retry_after_s` is what the other side asked for, None when it did not say.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint or "try again; what has arrived is skipped")
        self.retry_after_s = retry_after_s


class UnreachableError(TransientError):
    """No connection could be made."""


class CertificateError(RemoteError):
    """The server's certificate cannot be verified."""


class TlsError(RemoteError):
    """The server does not speak TLS, or not as expected."""


class ProtocolError(RemoteError):
    """The other side answered in a way that the specification does not allow, or beyond a limit."""


class ContentMismatchError(RemoteError):
    """Content is not what its descriptor says: wrong bytes, too short or too long."""

    def __init__(self, where: str, digest: Digest, reason: str) -> None:
        super().__init__(
            f"{where} gave wrong content for {digest}: {reason}",
            hint="nothing was tagged; the content is damaged at the source or on its way",
        )
        self.digest = digest


class UsageError(RemoteError):
    """The request contradicts itself or lacks something; only the person who asks can mend it."""
