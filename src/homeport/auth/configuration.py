"""What administrators configure while the server runs: typed, with Harbor's names and defaults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Connection

from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret
from homeport.db.engine import Database
from homeport.db.settings import StoredSetting, read_settings

_NO_SECRET = Secret("")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting of Harbor's `/configurations`; `stored_names` tells which were ever set."""

    auth_mode: str = "db_auth"
    primary_auth_mode: bool = False
    self_registration: bool = False
    session_timeout: int = 60
    token_expiration: int = 30

    project_creation_restriction: str = "everyone"
    quota_per_project_enable: bool = True
    storage_per_project: int = -1
    read_only: bool = False
    notification_enable: bool = True
    banner_message: str = ""
    scanner_skip_update_pulltime: bool = False
    robot_name_prefix: str = "robot$"
    robot_token_duration: int = 30

    audit_log_forward_endpoint: str = ""
    skip_audit_log_database: bool = False
    pull_audit_log_disable: bool = False
    disabled_audit_log_event_types: str = ""
    # beyond Harbor: TLS to the syslog receiver, a webhook, and how long records are kept (0 is for ever)
    audit_log_forward_tls: bool = False
    audit_forward_ca_certificate: str = ""
    audit_webhook_endpoint: str = ""
    audit_webhook_secret: Secret = _NO_SECRET
    audit_retention_pull_days: int = 0
    audit_retention_access_days: int = 0
    audit_retention_change_days: int = 0

    ldap_url: str = ""
    ldap_base_dn: str = ""
    ldap_filter: str = ""
    ldap_uid: str = "cn"
    ldap_scope: int = 2
    ldap_search_dn: str = ""
    ldap_search_password: Secret = _NO_SECRET
    ldap_timeout: int = 5
    ldap_verify_cert: bool = True
    # beyond Harbor: TLS on ldap:// too, and an authority of one's own (PEM) for directory and provider
    ldap_start_tls: bool = False
    ldap_ca_certificate: str = ""
    ldap_group_base_dn: str = ""
    ldap_group_search_filter: str = ""
    ldap_group_search_scope: int = 2
    ldap_group_attribute_name: str = ""
    ldap_group_admin_dn: str = ""
    ldap_group_membership_attribute: str = "memberof"
    ldap_group_attach_parallel: bool = False

    oidc_name: str = ""
    oidc_endpoint: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: Secret = _NO_SECRET
    oidc_scope: str = ""
    oidc_user_claim: str = ""
    oidc_groups_claim: str = ""
    oidc_admin_group: str = ""
    oidc_group_filter: str = ""
    oidc_verify_cert: bool = True
    oidc_ca_certificate: str = ""
    oidc_auto_onboard: bool = False
    oidc_extra_redirect_parms: str = "{}"
    oidc_logout: bool = False

    http_authproxy_endpoint: str = ""
    http_authproxy_tokenreview_endpoint: str = ""
    http_authproxy_admin_groups: str = ""
    http_authproxy_admin_usernames: str = ""
    http_authproxy_verify_cert: bool = True
    http_authproxy_skip_search: bool = False
    http_authproxy_server_certificate: str = ""

    uaa_endpoint: str = ""
    uaa_client_id: str = ""
    uaa_client_secret: Secret = _NO_SECRET
    uaa_verify_cert: bool = False

    stored_names: frozenset[str] = field(default=frozenset(), compare=False)


DEFAULTS = Configuration()
DEFAULT_VALUES: Mapping[str, Any] = {
    each.name: getattr(DEFAULTS, each.name) for each in fields(Configuration) if each.name != "stored_names"
}
SECRET_NAMES = frozenset(name for name, value in DEFAULT_VALUES.items() if isinstance(value, Secret))


def prepare_setting(name: str, value: str | bool | int, sealer: Sealer) -> StoredSetting:  # noqa: FBT001 - a value
    """Return what to store for a checked value; secrets are sealed."""
    if name in SECRET_NAMES:
        return StoredSetting(None, sealer.seal(str(value).encode(), _purpose(name)))
    return StoredSetting(json.dumps(value))


def _load(name: str, stored: StoredSetting, sealer: Sealer) -> Any:
    if stored.sealed_value is not None:
        return Secret(sealer.unseal(stored.sealed_value, _purpose(name)).decode())
    return json.loads(stored.value or "null")


def _purpose(name: str) -> str:
    return f"setting {name}"


class ConfigurationReader:
    """Reads the configuration once per change of it; one per process.

    `defaults` is what holds for settings that were never set.
    """

    def __init__(self, database: Database, sealer: Sealer, defaults: Configuration = DEFAULTS) -> None:
        self._database = database
        self._sealer = sealer
        self._defaults = defaults
        self._version: int | None = None
        self._configuration = defaults

    async def read(self) -> Configuration:
        """Return the configuration of now; costs nothing while the database is unchanged."""
        version = await self._database.access_version()
        if version != self._version:
            self._configuration = await self._database.read(self.load)
            self._version = version
        return self._configuration

    def load(self, connection: Connection) -> Configuration:
        """Return the configuration as the transaction sees it. Raises SealBrokenError."""
        known = {name: stored for name, stored in read_settings(connection).items() if name in DEFAULT_VALUES}
        values = {name: _load(name, stored, self._sealer) for name, stored in known.items()}
        return replace(self._defaults, **values, stored_names=frozenset(known))
