"""Seals private keys for the database under the secret of this installation."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homeport.auth.errors import InstanceSecretError, SealBrokenError
from homeport.auth.secret import Secret

SECRET_FILE = "instance.key"  # noqa: S105 - the file's name
MIN_SECRET_LENGTH = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12
_MAX_FILE_BYTES = 4096


class Sealer:
    """Encrypts and authenticates small contents (AES-256-GCM) under the instance secret.

    What was sealed for one purpose cannot be opened for another.
    """

    def __init__(self, instance_secret: Secret) -> None:
        derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"homeport sealing 1")
        self._cipher = AESGCM(derivation.derive(instance_secret.reveal().encode()))

    def seal(self, content: bytes, purpose: str) -> bytes:
        """Return the sealed content; sealing twice gives different bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, content, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed for the purpose, else raise SealBrokenError."""
        start = len(_VERSION) + _NONCE_BYTES
        if not sealed.startswith(_VERSION):
            raise _broken(purpose)
        try:
            return self._cipher.decrypt(sealed[len(_VERSION) : start], sealed[start:], purpose.encode())
        except (InvalidTag, ValueError):
            raise _broken(purpose) from None


def _broken(purpose: str) -> SealBrokenError:
    return SealBrokenError(
        f"the {purpose} cannot be opened with this instance's secret",
        hint="start with the HOMEPORT_SECRET_KEY or secrets/instance.key that sealed it",
    )


def load_instance_secret(directory: Path, given: Secret | None = None) -> Secret:
    """Return the given secret, or the one in the directory, made at the first call.

    The file appears whole and readable by its owner alone, also when several processes make it at once.
    Raises InstanceSecretError when it cannot be made, cannot be read or is too short.
    """
    if given:
        return _checked(given, "HOMEPORT_SECRET_KEY")
    path = directory / SECRET_FILE
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise InstanceSecretError(
            f"the instance secret {path} cannot be used: {error.strerror}",
            hint="check that the data directory can be written, or set HOMEPORT_SECRET_KEY",
        ) from error
    return _checked(Secret(content.decode("ascii", "replace").strip()), str(path))


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_hex(32).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(secret: Secret, source: str) -> Secret:
    if len(secret.reveal()) < MIN_SECRET_LENGTH:
        raise InstanceSecretError(
            f"the instance secret in {source} is shorter than {MIN_SECRET_LENGTH} characters",
            hint="make one with `openssl rand -hex 32`",
        )
    return secret
