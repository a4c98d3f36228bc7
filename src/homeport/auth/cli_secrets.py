"""The secrets that users of an OpenID provider give to programs such as docker."""

from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret


def seal_cli_secret(sealer: Sealer, user_id: int, secret: Secret) -> bytes:
    """Return the user's secret sealed for the database; it opens for this user alone."""
    return sealer.seal(secret.reveal().encode(), _purpose(user_id))


def open_cli_secret(sealer: Sealer, user_id: int, sealed: bytes) -> Secret:
    """Return the user's secret. Raises SealBrokenError."""
    return Secret(sealer.unseal(sealed, _purpose(user_id)).decode())


def _purpose(user_id: int) -> str:
    return f"command line secret of user {user_id}"
