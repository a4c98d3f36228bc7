"""What the configuration says of the OpenID provider, checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from homeport.auth.configuration import Configuration
from homeport.auth.secret import Secret
from homeport.errors import HomeportError

OIDC_MODE = "oidc_auth"
CALLBACK_PATH = "/c/oidc/callback"

_DEFAULT_SCOPES = ("openid", "profile", "email")
_DEFAULT_USER_CLAIMS = ("preferred_username", "name")


class OidcNotConfiguredError(HomeportError):
    """Nobody can sign in with an OpenID provider: a setting is missing or cannot be used."""


@dataclass(frozen=True, slots=True)
class OidcEndpoint:
    """Where the provider is and how its certificate is checked; `ca` is PEM, empty is the system's."""

    issuer: str
    verifies: bool = True
    ca: str = ""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """How users sign in at the provider, and which claims tell who they are."""

    endpoint: OidcEndpoint
    client_id: str
    client_secret: Secret
    scopes: tuple[str, ...]
    user_claims: tuple[str, ...]
    groups_claim: str
    admin_group: str
    group_filter: re.Pattern[str] | None
    onboards: bool
    extra: Mapping[str, str] = field(hash=False)


def read_oidc_settings(configuration: Configuration) -> OidcSettings:
    """Return the settings. Raises OidcNotConfiguredError, in other authentication modes too."""
    if configuration.auth_mode != OIDC_MODE:
        raise OidcNotConfiguredError(
            f"the authentication mode is {configuration.auth_mode}", hint=f"it must be {OIDC_MODE}"
        )
    if not configuration.oidc_endpoint or not configuration.oidc_client_id:
        raise OidcNotConfiguredError(
            "no OpenID provider is configured", hint="set oidc_endpoint and oidc_client_id"
        )
    scopes = tuple(scope for part in configuration.oidc_scope.split(",") if (scope := part.strip()))
    group_filter = configuration.oidc_group_filter
    return OidcSettings(
        OidcEndpoint(
            configuration.oidc_endpoint, configuration.oidc_verify_cert, configuration.oidc_ca_certificate
        ),
        configuration.oidc_client_id,
        configuration.oidc_client_secret,
        scopes or _DEFAULT_SCOPES,
        (configuration.oidc_user_claim,) if configuration.oidc_user_claim else _DEFAULT_USER_CLAIMS,
        configuration.oidc_groups_claim,
        configuration.oidc_admin_group,
        re.compile(group_filter) if group_filter else None,
        configuration.oidc_auto_onboard,
        json.loads(configuration.oidc_extra_redirect_parms or "{}"),
    )
