"""Files of a Helm chart's archive, read without trusting it: bounded in bytes, entries and depth."""

import gzip
import io
import tarfile
import zlib

from homeport.errors import HomeportError

MAX_FILE_BYTES = 2 * 1024 * 1024

_MAX_BYTES = 32 * 1024 * 1024
_MAX_ENTRIES = 5_000


class ChartArchiveInvalidError(HomeportError):
    """The archive is no chart, is damaged, or unpacks to more than charts hold."""


class _Bounded:
    """The unpacked archive; reading more than a chart may hold is refused."""

    def __init__(self, packed: bytes) -> None:
        self._file = gzip.GzipFile(fileobj=io.BytesIO(packed))
        self._left = _MAX_BYTES

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ChartArchiveInvalidError(f"the chart unpacks to more than {_MAX_BYTES} bytes")
        content = self._file.read(size)
        self._left -= len(content)
        return content


def read_chart_file(packed: bytes, name: str) -> bytes | None:
    """Return the file of that name (in any case) in the chart's own directory, or None when it has none.

    Links and what lies in subcharts are not followed. Raises ChartArchiveInvalidError.
    """
    try:
        with tarfile.open(fileobj=_Bounded(packed), mode="r|") as archive:  # type: ignore[call-overload]
            for count, entry in enumerate(archive):
                if count >= _MAX_ENTRIES:
                    raise ChartArchiveInvalidError(f"the chart has more than {_MAX_ENTRIES} files")
                _, slash, inside = entry.name.removeprefix("./").partition("/")
                if not slash or inside.lower() != name.lower() or not entry.isreg():
                    continue
                if entry.size > MAX_FILE_BYTES:
                    raise ChartArchiveInvalidError(f"{name} is larger than {MAX_FILE_BYTES} bytes")
                file = archive.extractfile(entry)
                return None if file is None else bytes(file.read())
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ChartArchiveInvalidError(f"the chart's archive is damaged: {str(error)[:200]}") from error
    return None
