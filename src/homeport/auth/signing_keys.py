"""The keys that sign access tokens: kept sealed in the database, shared by all workers."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from joserfc.jwk import ECKey

from homeport.auth.clock import Clock, utc_now
from homeport.auth.sealing import Sealer
from homeport.db.engine import Database
from homeport.db.signing_keys import (
    StoredSigningKey,
    add_first_signing_key,
    list_signing_keys,
    replace_signing_key,
)

ALGORITHM = "ES256"
CURVE = "P-256"
VERIFIES_AFTER_RETIREMENT = timedelta(days=1, hours=1)

_LOOK_AGAIN_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair and its name in token headers."""

    kid: str
    key: ECKey


class SigningKeys:
    """The key set as this process knows it; `refresh` keeps it true.

    A rotated key still verifies for a day and an hour, longer than any access token lives.
    """

    def __init__(self, database: Database, sealer: Sealer, clock: Clock = utc_now) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._version: int | None = None
        self._keys: dict[str, SigningKey] = {}
        self._retired_at: dict[str, datetime] = {}
        self._signing: SigningKey | None = None
        self._looked_again_at = -_LOOK_AGAIN_AFTER_S

    async def refresh(self) -> None:
        """Take in what other processes changed; raises SealBrokenError.

        Costs nothing while the database is unchanged.
        """
        version = await self._database.access_version()
        if version != self._version:
            await self._load(version)

    async def look_again(self) -> bool:
        """Read the keys though nothing is known to have changed, at most once a second; tells whether it did.

        For a token of another machine whose new key is not heard of here yet.
        """
        now = time.monotonic()
        if now - self._looked_again_at < _LOOK_AGAIN_AFTER_S:
            return False
        self._looked_again_at = now
        await self._load(await self._database.access_version())
        return True

    async def signing_key(self) -> SigningKey:
        """Return the key that signs now."""
        await self.refresh()
        if self._signing is None:
            await self._database.write(add_first_signing_key, self._make())
            await self._load(await self._database.access_version())
        if self._signing is None:
            raise LookupError("the key that was just stored is gone")
        return self._signing

    def find(self, kid: str) -> ECKey | None:
        """Return the key of that name when tokens signed with it are still believed."""
        signing_key = self._keys.get(kid)
        if signing_key is None:
            return None
        retired_at = self._retired_at.get(kid)
        if retired_at is not None and self._clock() >= retired_at + VERIFIES_AFTER_RETIREMENT:
            return None
        return signing_key.key

    async def rotate(self) -> str:
        """Sign with a new key from now on, in every process; returns its name."""
        key = self._make()
        await self._database.write(replace_signing_key, key)
        await self._load(await self._database.access_version())
        return key.kid

    async def _load(self, version: int) -> None:
        stored = await self._database.read(list_signing_keys)
        self._keys = {row.kid: self._keys.get(row.kid) or self._unseal(row) for row in stored}
        self._retired_at = {row.kid: row.retired_at for row in stored if row.retired_at is not None}
        signing = [row.kid for row in stored if row.retired_at is None]
        self._signing = self._keys[signing[0]] if signing else None
        self._version = version

    def _make(self) -> StoredSigningKey:
        key = ECKey.generate_key(CURVE)
        kid = key.thumbprint()
        sealed = self._sealer.seal(key.as_pem(private=True), _purpose(kid))
        return StoredSigningKey(kid, ALGORITHM, sealed, self._clock(), None)

    def _unseal(self, stored: StoredSigningKey) -> SigningKey:
        pem = self._sealer.unseal(stored.sealed_private_key, _purpose(stored.kid))
        return SigningKey(stored.kid, ECKey.import_key(pem))


def _purpose(kid: str) -> str:
    return f"signing key {kid}"
