"""Where things lie: `blobs/<algorithm>/<two digits>/<encoded>` and `uploads/<id>.<owner's key>`."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from homeport.blobs.directory.files import DIRECTORY_MODE, make_directory, sync_directory
from homeport.blobs.directory.session import NOTE_SUFFIX, status_of
from homeport.blobs.store import UploadStatus, UploadUnknownError
from homeport.oci.digest import ALGORITHMS, Digest, DigestInvalidError, parse_digest

_SHARDS = frozenset(f"{number:02x}" for number in range(256))
_UPLOAD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SESSION_NAME = re.compile(rf"{_UPLOAD_ID.pattern}\.[0-9a-f]{{32}}")


class Layout:
    """Paths below the root. Only checked values become part of one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.uploads = root / "uploads"

    def make_directories(self) -> None:
        """Make every directory that is missing, durably. May be repeated."""
        if not self.root.is_dir():
            make_directory(self.root)
        for directory in (self.uploads, self.blobs):
            make_directory(directory)
        for algorithm in ALGORITHMS:
            parent = self.blobs / algorithm
            make_directory(parent)
            # All of them now and synced once, so that a commit need not make and sync its own.
            for name in _SHARDS.difference(path.name for path in parent.iterdir()):
                (parent / name).mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            sync_directory(parent)

    def blob(self, digest: Digest) -> Path:
        """Return the path of the blob's file."""
        # One text is parsed in a third of the time that `/` takes three times; every download asks.
        return Path(f"{self.blobs}/{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}")

    def require_blobs(self) -> None:
        """Raise FileNotFoundError when the store itself is not there, as when its volume is not mounted."""
        self.blobs.stat()

    def session(self, upload_id: str, owner: str) -> Path:
        """Return the path of the session's file; raises UploadUnknownError for what cannot be an id."""
        if _UPLOAD_ID.fullmatch(upload_id) is None:
            raise UploadUnknownError
        key = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()[:32]
        return self.uploads / f"{upload_id}.{key}"

    def sessions(self) -> Iterator[tuple[Path, UploadStatus]]:
        """Yield every session's file and status."""
        for entry in _entries(self.uploads):
            if _SESSION_NAME.fullmatch(entry.name) is None:
                continue
            try:
                status = status_of(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            yield Path(entry.path), status

    def lost_notes(self) -> Iterator[Path]:
        """Yield the notes that have lost their session."""
        for entry in _entries(self.uploads):
            path = Path(entry.path)
            if path.suffix == NOTE_SUFFIX and not path.with_suffix("").exists():
                yield path

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob."""
        for algorithm in ALGORITHMS:
            for shard in _entries(self.blobs / algorithm):
                if shard.name in _SHARDS:
                    for entry in _entries(shard.path):
                        digest = _digest_of(entry, algorithm, shard.name)
                        if digest is not None:
                            yield digest

    def strays(self) -> Iterator[str]:
        """Yield the name, below the root, of everything among the blobs that is none."""
        for top in _entries(self.blobs):
            if top.name not in ALGORITHMS or not top.is_dir(follow_symlinks=False):
                yield self._name(top)
                continue
            for shard in _entries(top.path):
                if shard.name not in _SHARDS or not shard.is_dir(follow_symlinks=False):
                    yield self._name(shard)
                    continue
                for entry in _entries(shard.path):
                    if _digest_of(entry, top.name, shard.name) is None:
                        yield self._name(entry)

    def _name(self, entry: os.DirEntry[str]) -> str:
        return str(Path(entry.path).relative_to(self.root))


def _digest_of(entry: os.DirEntry[str], algorithm: str, shard: str) -> Digest | None:
    if not entry.name.startswith(shard) or not entry.is_file(follow_symlinks=False):
        return None
    with suppress(DigestInvalidError):
        return parse_digest(f"{algorithm}:{entry.name}")
    return None


def _entries(directory: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in the directory; what is none has nothing in it."""
    with suppress(NotADirectoryError), os.scandir(directory) as entries:
        yield from entries
