"""Small content by digest: what configs and chart archives say, read whole but bounded."""

from contextlib import aclosing

from homeport.blobs.store import BlobDamagedError, BlobStore, BlobUnknownError
from homeport.oci.digest import parse_digest
from homeport.oci.image_config import MAX_CONFIG_BYTES


class SmallContent:
    """Reads blobs that a list or an addition shows; the caller has checked who may see them."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    async def find(self, digest: str, size_bytes: int, *, max_bytes: int = MAX_CONFIG_BYTES) -> bytes | None:
        """Return the content, or None when it is larger than `max_bytes`, shorter than said or missing.

        Raises StorageUnavailableError.
        """
        if not 0 <= size_bytes <= max_bytes:
            return None
        parts = []
        try:
            async with aclosing(self._store.read(parse_digest(digest), 0, size_bytes)) as chunks:
                async for chunk in chunks:
                    parts.append(chunk)  # noqa: PERF401 - bounded, and closed on every way out
        except (BlobUnknownError, BlobDamagedError):
            return None
        return b"".join(parts)
