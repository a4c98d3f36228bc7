"""Steps of uploads, for the tables of several areas."""

import re

from tests.conformance.content import (
    BLOB,
    digest_of,
)
from tests.conformance.table import (
    UPLOADS,
    Step,
    Wanted,
    blobs,
    escaped,
    get,
    patch,
    post,
    put,
)

UUID = re.compile(r"[^/\s]+")
SESSION = re.compile(r"/v2/[a-z0-9/-]+/blobs/uploads/[^/?#]+(\?[^#]*)?")
FIRST, SECOND, THIRD = BLOB.content[:700], BLOB.content[700:1400], BLOB.content[1400:]
SHA512 = digest_of(BLOB.content, "sha512")


def session(last: int) -> dict[str, Wanted]:
    """Return the headers that describe an upload up to this byte."""
    return {"Location": SESSION, "Range": f"0-{last}", "Docker-Upload-UUID": UUID, "Content-Length": "0"}


def done(digest: str) -> dict[str, Wanted]:
    """Return the headers of a finished upload."""
    return {"Location": f"/v2/$repo/blobs/{digest}", "Docker-Content-Digest": digest, "Content-Length": "0"}


def kept(last: int) -> dict[str, Wanted]:
    """Return the headers of an upload that is asked for or refused a chunk, and goes on."""
    return {"Location": SESSION, "Range": f"0-{last}", "Docker-Upload-UUID": UUID}


START = post(UPLOADS, 202, want=session(0), content=b"", save="first")


def chunk(content: bytes, start: int, status: int = 202, **rest: object) -> Step:
    """Return a PATCH of a chunk that starts there."""
    last = start + len(content) - 1
    want = session(last) if status == 202 else {}
    send = (("Content-Range", f"{start}-{last}"), ("Content-Type", "application/octet-stream"))
    return patch("$location", status, content, **{"send": send, "want": want, **rest})


def finish(digest: str, status: int = 201, body: bytes = b"", **rest: object) -> Step:
    """Return a PUT that ends the upload."""
    want = done(digest) if status == 201 else {}
    return put("${join}digest=" + escaped(digest), status, body, **{"want": want, **rest})


def there(content: bytes, digest: str) -> Step:
    """Return a GET that finds the content."""
    return get(blobs(digest), content=content, want={"Docker-Content-Digest": digest})
