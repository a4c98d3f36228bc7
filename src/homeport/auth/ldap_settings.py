"""What the configuration says of the LDAP directory, checked."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from homeport.auth.configuration import Configuration
from homeport.auth.ldap_names import is_attribute
from homeport.auth.secret import Secret
from homeport.errors import HomeportError

_PORTS = {"ldap": 389, "ldaps": 636}
_ANY = "(objectClass=*)"


class LdapNotConfiguredError(HomeportError):
    """The directory cannot be asked: a setting is missing or cannot be used."""


@dataclass(frozen=True, slots=True)
class LdapServer:
    """Where the directory is and how its certificate is checked; `ca` is PEM, empty is the system's."""

    host: str
    port: int
    uses_ldaps: bool
    uses_start_tls: bool
    verifies: bool
    ca: str
    timeout_s: int


@dataclass(frozen=True, slots=True)
class LdapGroups:
    """Where groups are; without a base no groups are read. `admin_dn` names the one of administrators."""

    base_dn: str
    filter: str
    scope: int
    name_attribute: str
    membership_attribute: str
    admin_dn: str


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """How users are found in the directory. An empty `search_dn` searches anonymously."""

    server: LdapServer
    search_dn: str
    search_password: Secret
    base_dn: str
    filter: str
    uid: str
    scope: int
    groups: LdapGroups


def read_ldap_settings(configuration: Configuration) -> LdapSettings:
    """Return the settings. Raises LdapNotConfiguredError."""
    url = configuration.ldap_url
    try:
        parts = urlsplit(url if "://" in url or not url else f"ldap://{url}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if not url:
        raise LdapNotConfiguredError("LDAP is not configured", hint="set ldap_url and ldap_base_dn")
    if host is None or scheme not in _PORTS:
        raise LdapNotConfiguredError("ldap_url is malformed", hint="use ldap://HOST or ldaps://HOST")
    name = configuration.ldap_group_attribute_name or "cn"
    membership = configuration.ldap_group_membership_attribute or "memberof"
    for attribute in (configuration.ldap_uid, name, membership):
        if not is_attribute(attribute):
            raise LdapNotConfiguredError(f"{attribute[:64]!r} is no name of an attribute")
    return LdapSettings(
        LdapServer(
            host,
            port or _PORTS[scheme],
            scheme == "ldaps",
            scheme == "ldap" and configuration.ldap_start_tls,
            configuration.ldap_verify_cert,
            configuration.ldap_ca_certificate,
            configuration.ldap_timeout,
        ),
        configuration.ldap_search_dn,
        configuration.ldap_search_password,
        configuration.ldap_base_dn,
        configuration.ldap_filter,
        configuration.ldap_uid,
        configuration.ldap_scope,
        LdapGroups(
            configuration.ldap_group_base_dn,
            configuration.ldap_group_search_filter or _ANY,
            configuration.ldap_group_search_scope,
            name,
            membership,
            configuration.ldap_group_admin_dn,
        ),
    )
