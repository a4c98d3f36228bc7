"""What the operations of Harbor's API work with."""

from dataclasses import dataclass
from pathlib import Path

from homeport.auth.configuration import ConfigurationReader
from homeport.auth.issuers import IssuerSettings
from homeport.auth.ldap import LdapDirectory
from homeport.auth.network import NetworkGuard
from homeport.auth.password_login import PasswordLogin
from homeport.auth.passwords import Passwords
from homeport.auth.sealing import Sealer
from homeport.auth.sessions import Sessions
from homeport.auth.signing_keys import SigningKeys
from homeport.blobs.store import BlobStore
from homeport.control.browser_login import BrowserLogin
from homeport.control.oidc import OidcSignIn
from homeport.db.engine import Database
from homeport.registry.delete import Deleter
from homeport.registry.pull import Puller
from homeport.registry.recorder import Recorder
from homeport.web.api.callers import Callers
from homeport.web.forwarded import Forwarding


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a running server knows of itself."""

    version: str
    data: Path
    storage: Path
    external_url: str
    ca_certificate: Path | None


@dataclass(frozen=True, slots=True)
class Services:
    """Made once per worker by the composition root; control services are made from these as needed."""

    database: Database
    store: BlobStore
    callers: Callers
    sessions: Sessions
    login: PasswordLogin
    directory: LdapDirectory
    browser_login: BrowserLogin
    oidc: OidcSignIn
    forwarding: Forwarding
    network: NetworkGuard
    recorder: Recorder
    passwords: Passwords
    sealer: Sealer
    issuers: IssuerSettings
    keys: SigningKeys
    configuration: ConfigurationReader
    puller: Puller
    deleter: Deleter
    facts: ServerFacts
