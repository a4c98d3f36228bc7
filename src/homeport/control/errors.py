"""What the control plane refuses, and why; each surface has its own way to say it."""

from homeport.errors import HomeportError


class BadRequestError(HomeportError):
    """The request does not make sense as it is."""


class UnauthenticatedError(HomeportError):
    """The caller must sign in first."""


class ForbiddenError(HomeportError):
    """The caller may not do this."""


class NotFoundError(HomeportError):
    """There is no such thing, or the caller may not know of it."""


class ConflictError(HomeportError):
    """It exists already, or its state stands against the request."""


class PreconditionError(HomeportError):
    """A rule or something that depends on it stands against the request."""


class NotBuiltError(HomeportError):
    """Homeport does not do this yet."""
