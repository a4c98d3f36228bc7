"""Homeport's own certificate authority, and the certificates that a server may show."""

import fcntl
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homeport.errors import HomeportError

AUTHORITY_CERTIFICATE = "ca.crt"
AUTHORITY_KEY = "ca.key"
SERVER_CERTIFICATE = "server.crt"
SERVER_KEY = "server.key"

AUTHORITY_LIFETIME = timedelta(days=3652)
SERVER_LIFETIME = timedelta(days=365)
_CLOCK_SKEW = timedelta(hours=1)
_RENEW_BELOW = 1 / 3
_MAX_FILE_BYTES = 1024 * 1024
_MAX_COMMON_NAME = 64

_DNS_NAME = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_MAX_DNS_NAME = 253


class AuthorityError(HomeportError):
    """The own certificate authority cannot be made or used."""


class ServerCertificateError(HomeportError):
    """A certificate and its key cannot be used by a server."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that lives in a directory; it signs certificates for this server alone."""

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_path(self) -> Path:
        """The PEM file that clients must trust; it holds no secret."""
        return self.directory / AUTHORITY_CERTIFICATE


def authority_directory(data_directory: Path) -> Path:
    """Return where the authority of a server with this data directory lives."""
    return data_directory / "tls"


def ensure_authority(directory: Path, *, now: datetime | None = None) -> Authority:
    """Return the authority in `directory`, made on first use (EC P-256, ten years, signs servers only).

    May be called any number of times, by several processes at once: all get the same one. The key file is
    readable by its owner alone. Nothing is ever replaced: a broken or expired authority raises
    AuthorityError, since a silent new one would lock out every client that trusts the old.
    """
    moment = now or datetime.now(UTC)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _sync_directory(directory.parent)
        with _locked(directory):
            authority = _load_authority(directory) or _make_authority(directory, moment)
    except OSError as error:
        raise AuthorityError(
            f"The certificate authority in {directory} cannot be used: {error.strerror}.",
            hint="the data directory must be writable for the user that runs Homeport",
        ) from error
    if authority.certificate.not_valid_after_utc <= moment:
        raise AuthorityError(
            f"The certificate authority in {directory} expired on "
            f"{authority.certificate.not_valid_after_utc:%Y-%m-%d}.",
            hint=f"remove {directory}, start again, and run `homeport trust` on every client",
        )
    return authority


def issue_server_certificate(
    authority: Authority, names: Iterable[str], *, now: datetime | None = None
) -> tuple[Path, Path]:
    """Return the paths of a certificate and its key, valid for all `names` (DNS names and IP addresses).

    The stored certificate is used again while it covers the names, was signed by this authority and has
    more than a third of its life left; else a new one is made, for a year at most. Unspecified addresses
    (0.0.0.0, ::) are left out, as nobody connects to them. Raises ServerCertificateError for a name that
    no certificate can hold.
    """
    moment = now or datetime.now(UTC)
    wanted = parse_certificate_names(names)
    if not wanted:
        raise ServerCertificateError("A server certificate needs at least one name.")
    certificate_path = authority.directory / SERVER_CERTIFICATE
    key_path = authority.directory / SERVER_KEY
    try:
        with _locked(authority.directory):
            if not _may_reuse(authority, wanted, moment):
                certificate, key = _sign_server(authority, wanted, moment)
                _write_durably(key_path, _private_pem(key), 0o600)
                _write_durably(certificate_path, _certificate_pem(certificate), 0o644)
    except OSError as error:
        raise ServerCertificateError(
            f"The server certificate cannot be stored in {authority.directory}: {error.strerror}.",
            hint="the data directory must be writable for the user that runs Homeport",
        ) from error
    return certificate_path, key_path


def check_server_certificate(
    certificate_path: Path, key_path: Path, *, now: datetime | None = None
) -> tuple[Path, Path]:
    """Return the two paths when a server can show this certificate and holds its key.

    The first certificate of the file is the server's, others are its chain. Raises
    ServerCertificateError with the reason: a file is missing, unreadable or no PEM, the key needs a
    passphrase, the two do not belong together, the certificate has expired or is not valid yet.
    """
    moment = now or datetime.now(UTC)
    certificate = read_certificates(certificate_path)[0]
    key = _read_private_key(key_path)
    if _public_bytes(certificate.public_key()) != _public_bytes(key.public_key()):
        raise ServerCertificateError(
            f"The key {key_path} does not belong to the certificate {certificate_path}.",
            hint="the server's own certificate must come first in the file, before its chain",
        )
    if certificate.not_valid_after_utc <= moment:
        raise ServerCertificateError(
            f"The certificate {certificate_path} expired on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.",
            hint="renew it, or use --tls auto for one from Homeport's own authority",
        )
    if certificate.not_valid_before_utc > moment:
        raise ServerCertificateError(
            f"The certificate {certificate_path} is not valid before "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC.",
            hint="check the clock of this machine",
        )
    return certificate_path, key_path


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file in their order, at least one.

    Raises ServerCertificateError with the reason when there are none to be had.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(_read_file(path, "certificate")))
    except ValueError as error:
        raise ServerCertificateError(
            f"The file {path} holds no certificate in PEM form.",
            hint="it must have a line -----BEGIN CERTIFICATE-----; convert DER with openssl x509 -inform der",
        ) from error


def parse_certificate_names(names: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    """Return the names as a certificate holds them: each once, in their order, DNS names in lower case.

    IP addresses may stand in brackets. Unspecified addresses are left out. Raises ServerCertificateError
    for what is neither a DNS name nor an address.
    """
    parsed: dict[x509.GeneralName, None] = {}
    for name in names:
        try:
            address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
        except ValueError:
            parsed[x509.DNSName(_dns_name(name))] = None
        else:
            if not address.is_unspecified:
                parsed[x509.IPAddress(address)] = None
    return tuple(parsed)


def _dns_name(name: str) -> str:
    try:
        ascii_name = name.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        ascii_name = ""
    if len(ascii_name) > _MAX_DNS_NAME or not _DNS_NAME.fullmatch(ascii_name):
        raise ServerCertificateError(
            f"{name!r} is neither a host name nor an IP address.",
            hint="give the bare name, for example registry.example.com, without scheme, port or path",
        )
    return ascii_name


def _load_authority(directory: Path) -> Authority | None:
    """Return the stored authority, or None where there is none or its making was cut short."""
    certificate_path, key_path = directory / AUTHORITY_CERTIFICATE, directory / AUTHORITY_KEY
    if not certificate_path.exists():
        return None
    try:
        certificate = read_certificates(certificate_path)[0]
        key = _read_private_key(key_path)
    except ServerCertificateError as error:
        raise AuthorityError(
            f"The certificate authority in {directory} is damaged: {error}",
            hint=f"restore {AUTHORITY_CERTIFICATE} and {AUTHORITY_KEY} from a backup, or remove {directory} "
            "to make a new authority that every client must trust anew",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _public_bytes(key.public_key()) != _public_bytes(
        certificate.public_key()
    ):
        raise AuthorityError(
            f"The key {key_path} does not belong to the certificate {certificate_path}.",
            hint=f"restore both from the same backup, or remove {directory} to make a new authority",
        )
    return Authority(directory, certificate, key)


def _make_authority(directory: Path, now: datetime) -> Authority:
    """Make and store an authority; the certificate is written last, so that it stands for the whole."""
    key = ec.generate_private_key(ec.SECP256R1())
    begins = now - _CLOCK_SKEW
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Homeport"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Homeport CA {key_identifier.digest.hex()[:12]}"),
        ]
    )
    certificate = (
        _certificate_builder(key.public_key(), begins, begins + AUTHORITY_LIFETIME)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_durably(directory / AUTHORITY_KEY, _private_pem(key), 0o600)
    _write_durably(directory / AUTHORITY_CERTIFICATE, _certificate_pem(certificate), 0o644)
    return Authority(directory, certificate, key)


def _sign_server(
    authority: Authority, names: tuple[x509.GeneralName, ...], now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    common_name = next(
        (str(name.value) for name in names if len(str(name.value)) <= _MAX_COMMON_NAME), "homeport"
    )
    begins = now - _CLOCK_SKEW
    expires = min(begins + SERVER_LIFETIME, authority.certificate.not_valid_after_utc)
    certificate = (
        _certificate_builder(key.public_key(), begins, expires)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return certificate, key


def _certificate_builder(
    public_key: ec.EllipticCurvePublicKey, begins: datetime, expires: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(expires)
        .public_key(public_key)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _may_reuse(authority: Authority, wanted: tuple[x509.GeneralName, ...], now: datetime) -> bool:
    """Whether the stored server certificate still serves; an unusable one is no error, it is replaced."""
    try:
        certificate = read_certificates(authority.directory / SERVER_CERTIFICATE)[0]
        key = _read_private_key(authority.directory / SERVER_KEY)
        certificate.verify_directly_issued_by(authority.certificate)
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ServerCertificateError, InvalidSignature, TypeError, ValueError, x509.ExtensionNotFound):
        return False
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        _public_bytes(key.public_key()) == _public_bytes(certificate.public_key())
        and set(wanted) <= set(covered)
        and begins <= now
        and (ends - now) > (ends - begins) * _RENEW_BELOW
    )


def _read_private_key(path: Path) -> PrivateKeyTypes:
    content = _read_file(path, "key")
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise ServerCertificateError(
            f"The key {path} is protected by a passphrase.",
            hint="store it without one (openssl pkey -in KEY -out KEY.plain), readable by its owner alone",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ServerCertificateError(
            f"The file {path} holds no private key in PEM form that can be used.",
            hint="it must have a line -----BEGIN PRIVATE KEY-----",
        ) from error


def _read_file(path: Path, kind: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ServerCertificateError(f"There is no {kind} file {path}.", hint="check the path") from error
    except OSError as error:
        raise ServerCertificateError(
            f"The {kind} file {path} cannot be read: {error.strerror}.",
            hint="the user that runs Homeport must be able to read it",
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise ServerCertificateError(f"The {kind} file {path} is larger than 1 MiB.", hint="check the path")
    return content


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: one process at a time makes or checks what lies in it."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_durably(path: Path, content: bytes, mode: int) -> None:
    """Put the content at the path, whole or not at all, with exactly this mode, safe against power loss.

    The caller holds the directory's lock: what a killed process left of the temporary file is reused.
    """
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
