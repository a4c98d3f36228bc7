"""The key that signs checkpoints of the audit records: made from the instance secret, never stored."""

from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from homeport.auth.secret import Secret


class AuditKey:
    """An Ed25519 key. Whoever can change the database alone cannot sign with it."""

    def __init__(self, instance_secret: Secret) -> None:
        derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"homeport audit checkpoints 1")
        seed = derivation.derive(instance_secret.reveal().encode())
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()
        self.kid = sha256(self._public.public_bytes_raw()).hexdigest()[:32]

    def sign(self, message: bytes) -> str:
        """Return the signature as Base64 text."""
        return b64encode(self._private.sign(message)).decode()

    def verifies(self, kid: str, signature: str, message: bytes) -> bool:
        """Tell whether this key made the signature."""
        try:
            self._public.verify(b64decode(signature, validate=True), message)
        except (InvalidSignature, ValueError):
            return False
        return kid == self.kid
