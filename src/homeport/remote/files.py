"""Content in local files: parts of files, read in threads and never beyond what they should be."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from homeport.oci.digest import Digest, new_hash
from homeport.remote.blob import CHUNK_BYTES
from homeport.remote.errors import NotFoundError, ProtocolError, RemoteError


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of a file: from `offset` on, `size_bytes` of them."""

    path: Path
    offset: int
    size_bytes: int

    def open(self, skip: int = 0) -> BinaryIO:
        """Return the open file, placed `skip` bytes into the part; the caller closes it."""
        file = open_regular(self.path)
        file.seek(self.offset + skip)
        return file

    def read(self, limit_bytes: int) -> bytes:
        """Return the whole part; raises ProtocolError when it is larger than the limit."""
        if self.size_bytes > limit_bytes:
            raise ProtocolError(
                f"{self.path} has an entry of more than {limit_bytes} bytes where none may be"
            )
        with self.open() as file:
            return file.read(self.size_bytes)

    def digest(self, algorithm: str) -> Digest:
        """Return the digest of the part, read in pieces."""
        hasher = new_hash(algorithm)
        left = self.size_bytes
        with self.open() as file:
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                hasher.update(chunk)
                left -= len(chunk)
        return Digest(algorithm, hasher.hexdigest())

    async def stream(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the part from the offset on."""
        left = self.size_bytes - offset
        file = await asyncio.to_thread(self.open, offset)
        try:
            while left > 0:
                chunk = await asyncio.to_thread(file.read, min(left, CHUNK_BYTES))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk
        finally:
            file.close()


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises NotFoundError, and RemoteError for what is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise RemoteError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RemoteError(f"{path} is not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def whole_file(path: Path) -> FilePart:
    """Return a file as a part; errors as in `open_regular`."""
    with open_regular(path) as file:
        return FilePart(path, 0, os.fstat(file.fileno()).st_size)
