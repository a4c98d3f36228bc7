"""The entries of a tar archive, found without trusting it: bounded headers, no following of links outside."""

import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from homeport.remote.errors import NotFoundError, ProtocolError
from homeport.remote.files import FilePart, open_regular

MAX_ENTRIES = 200_000
MAX_EXTENDED_HEADER_BYTES = 1024 * 1024
MAX_LINKS = 8

_BLOCK = tarfile.BLOCKSIZE
_LONG_TYPES = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_PAX_TYPES = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})


@dataclass(frozen=True, slots=True)
class TarLink:
    """An entry that stands for another one of the archive."""

    target: str


class TarIndex:
    """Where the files of an uncompressed archive lie; made by `read_tar_index`."""

    def __init__(self, path: Path, entries: Mapping[str, FilePart | TarLink]) -> None:
        self._path = path
        self._entries = entries

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def locate(self, name: str) -> FilePart:
        """Return the file of this name, links in the archive followed.

        Raises NotFoundError, and ProtocolError for links that lead out of the archive or in circles.
        """
        wanted = name
        for _ in range(MAX_LINKS):
            entry = self._entries.get(wanted)
            if entry is None:
                raise NotFoundError(f"{self._path} does not have {name[:200]!r}")
            if isinstance(entry, FilePart):
                return entry
            wanted = entry.target
        raise ProtocolError(f"{self._path}: {name[:200]!r} is a link that leads nowhere")


def read_tar_index(path: Path) -> TarIndex:
    """Return the index of an archive; of entries with the same name the last counts, as when unpacking.

    Raises ProtocolError for what is no tar archive, a cut one, sparse entries, names and links that lead
    out of it, and beyond MAX_ENTRIES or MAX_EXTENDED_HEADER_BYTES.
    """
    entries: dict[str, FilePart | TarLink] = {}
    with open_regular(path) as file:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        extended: dict[str, str] = {}
        headers = 0
        while (info := _next_header(file, path)) is not None:
            headers += 1
            if headers > MAX_ENTRIES:
                raise ProtocolError(f"{path} has more than {MAX_ENTRIES} entries")
            start = file.tell()
            if info.type in _LONG_TYPES | _PAX_TYPES:
                if info.type != tarfile.XGLTYPE:
                    extended |= _read_extended(file, info, path)
            else:
                start = _add(entries, info, extended, path, start)
                extended = {}
            end = start + -(-info.size // _BLOCK) * _BLOCK
            if start + info.size > size_bytes:
                raise ProtocolError(f"{path} is cut off")
            file.seek(end)
    return TarIndex(path, entries)


def _next_header(file: BinaryIO, path: Path) -> tarfile.TarInfo | None:
    block = file.read(_BLOCK)
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ProtocolError(f"{path} is not a tar archive, or damaged") from error


def _read_extended(file: BinaryIO, info: tarfile.TarInfo, path: Path) -> dict[str, str]:
    if info.size > MAX_EXTENDED_HEADER_BYTES:
        raise ProtocolError(f"{path} has a header of {info.size} bytes")
    content = file.read(info.size)
    if info.type in _LONG_TYPES:
        text = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        return {"path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath": text}
    found: dict[str, str] = {}
    while content.strip(b"\0"):
        length_text, _, _ = content.partition(b" ")
        length = int(length_text) if length_text.isdigit() and len(length_text) < 8 else 0  # noqa: PLR2004 - of a bounded header
        record = content[len(length_text) + 1 : length]
        if not record.endswith(b"\n"):
            raise ProtocolError(f"{path} has a malformed extended header")
        key, _, value = record[:-1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return found


def _add(
    entries: dict[str, FilePart | TarLink],
    info: tarfile.TarInfo,
    extended: Mapping[str, str],
    path: Path,
    start: int,
) -> int:
    if any(key.startswith("GNU.sparse") for key in extended) or info.type == tarfile.GNUTYPE_SPARSE:
        raise ProtocolError(f"{path} has sparse entries, which no image archive has")
    size = extended.get("size", "")
    if size.isascii() and size.isdigit() and len(size) < 19:  # noqa: PLR2004 - fits 64 bits
        info.size = int(size)
    name = _clean(extended.get("path", info.name), path)
    if info.isreg():
        entries[name] = FilePart(path, start, info.size)
        return start
    info.size = 0
    target = extended.get("linkpath", info.linkname)
    if info.issym():
        entries[name] = TarLink(_clean(posixpath.join(posixpath.dirname(name), target), path))
    elif info.islnk():
        entries[name] = TarLink(_clean(target, path))
    return start


def _clean(name: str, path: Path) -> str:
    if name.startswith("/") or "\0" in name:
        raise ProtocolError(f"{path} has an entry that leads out of it: {name[:200]!r}")
    cleaned = posixpath.normpath(name)
    if cleaned == ".." or cleaned.startswith("../"):
        raise ProtocolError(f"{path} has an entry that leads out of it: {name[:200]!r}")
    return cleaned
