"""Client certificates as a way to sign in: checked by a proxy, checked again here, mapped to an account.

The proxy that ends TLS asks for the certificate and passes it on in `Client-Cert` (RFC 9440) or, as nginx
does with `$ssl_client_escaped_cert`, in `X-SSL-Client-Cert`. Only trusted proxies are listened to.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from sqlalchemy import Connection

from homeport.auth.accounts import Account, find_account, find_robot_account
from homeport.auth.authority import read_certificates
from homeport.auth.bounded_cache import BoundedCache
from homeport.auth.clock import utc_now
from homeport.auth.errors import AuthenticationError
from homeport.db.client_certificates import StoredCertificateName, find_certificate_names
from homeport.db.engine import Database

HEADERS = (b"client-cert", b"x-ssl-client-cert")

_MAX_HEADER_BYTES = 16 * 1024
_MAX_NAMES = 100
_CACHED = 2_000


class CertificateRefusedError(AuthenticationError):
    """The client certificate is not one that Homeport accepts."""


class CertificateLogin:
    """Finds the account of a client certificate.

    The certificate must be signed by one of the configured authorities and be valid now; its subject or an
    alternative name must be mapped to one account, and to no other.
    """

    def __init__(
        self, database: Database, authorities: Path | None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._clock = clock
        self._store = None if authorities is None else Store(list(read_certificates(authorities)))
        self._known: BoundedCache[bytes, tuple[int, datetime, Account]] = BoundedCache(_CACHED)

    @property
    def is_enabled(self) -> bool:
        """Whether any certificate can be accepted at all."""
        return self._store is not None

    async def sign_in(self, header: bytes) -> Account:
        """Return the account of the certificate in the header. Raises CertificateRefusedError."""
        version = await self._database.access_version()
        known = self._known.get(header)
        now = self._clock()
        if known is not None and known[0] == version and now < known[1]:
            return known[2]
        certificate = parse_certificate_header(header)
        self._verify(certificate, now)
        subject, alternatives = certificate_names(certificate)
        account = await self._database.read(_find_account, subject, alternatives, now)
        if account is None:
            raise CertificateRefusedError(f"no account has the client certificate of {subject[:200]!r}")
        ends = [end for end in (certificate.not_valid_after_utc, account.valid_until) if end is not None]
        self._known.put(header, (version, min(ends), account))
        return account

    def _verify(self, certificate: x509.Certificate, now: datetime) -> None:
        if self._store is None:
            raise CertificateRefusedError("client certificates are not accepted here")
        verifier = PolicyBuilder().store(self._store).time(now).build_client_verifier()
        try:
            verifier.verify(certificate, [])
        except VerificationError as error:
            raise CertificateRefusedError(f"the client certificate is not accepted: {error}") from error


def find_certificate_header(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the header that holds a certificate, if there is one."""
    return next((headers[name] for name in HEADERS if headers.get(name)), None)


def parse_certificate_header(header: bytes) -> x509.Certificate:
    """Return the certificate of a `:BASE64:` or an escaped PEM value. Raises CertificateRefusedError."""
    if len(header) > _MAX_HEADER_BYTES:
        raise CertificateRefusedError("the client certificate is too large")
    value = header.strip()
    try:
        if value.startswith(b":"):
            return x509.load_der_x509_certificate(base64.b64decode(value.strip(b":"), validate=True))
        return x509.load_pem_x509_certificate(unquote_to_bytes(value))
    except (ValueError, binascii.Error) as error:
        raise CertificateRefusedError("the client certificate cannot be read") from error


def certificate_names(certificate: x509.Certificate) -> tuple[str, list[str]]:
    """Return the subject (RFC 4514) and the alternative names as `dns:`, `email:` and `uri:` texts."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return certificate.subject.rfc4514_string(), []
    names = [f"dns:{name}" for name in extension.get_values_for_type(x509.DNSName)]
    names += [f"email:{name}" for name in extension.get_values_for_type(x509.RFC822Name)]
    names += [f"uri:{name}" for name in extension.get_values_for_type(x509.UniformResourceIdentifier)]
    return certificate.subject.rfc4514_string(), names[:_MAX_NAMES]


def _find_account(
    connection: Connection, subject: str, alternatives: list[str], now: datetime
) -> Account | None:
    found = find_certificate_names(connection, subject, alternatives)
    accounts = {(name.user_id, name.robot_id) for name in found}
    if len(accounts) != 1:
        return None
    return _account_of(connection, found[0], now)


def _account_of(connection: Connection, name: StoredCertificateName, now: datetime) -> Account | None:
    if name.user_id is not None:
        return find_account(connection, name.user_id)
    robot = None if name.robot_id is None else find_robot_account(connection, name.robot_id)
    return None if robot is None else robot.certified(now)
