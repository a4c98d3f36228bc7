"""Pushes as clients do them, request by request."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from bench.client import AnswerError, Connection, Response, target_of
from bench.content import MANIFEST_TYPE, Image, digest_of
from bench.servers import Server


def push_scope(repository: str) -> str:
    """Return the token scope to push to and pull from the repository."""
    return f"repository:{repository}:pull,push,delete"


def push_file(server: Server, repository: str, path: Path, digest: str) -> None:
    """Push the file as a blob: POST, then one PUT with the whole body."""
    headers = server.authorization(push_scope(repository))
    with Connection(server.port) as connection:
        send_file(connection, repository, headers, path, digest)


def send_file(
    connection: Connection, repository: str, headers: Mapping[str, str], path: Path, digest: str
) -> None:
    """Push the file as a blob on a connection that is open and allowed to."""
    location = _open_upload(connection, repository, headers)
    put_headers = {**headers, "Content-Type": "application/octet-stream"}
    _expect(201, connection.send_file("PUT", _with_digest(location, digest), put_headers, path))


def push_image(server: Server, repository: str, tag: str, image: Image, connections: int) -> None:
    """Push an image over so many connections: HEAD, POST, PATCH, PUT for each blob, then the manifest."""
    headers = server.authorization(push_scope(repository))
    blobs = list(image.blobs.items())
    shares = [blobs[start::connections] for start in range(connections)]

    def push_share(share: list[tuple[str, bytes]]) -> None:
        with Connection(server.port) as connection:
            for digest, content in share:
                _push_blob(connection, f"/v2/{repository}/blobs/{digest}", headers, content)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(push_share, shares))
    with Connection(server.port) as connection:
        put_headers = {**headers, "Content-Type": MANIFEST_TYPE}
        answer = connection.request("PUT", f"/v2/{repository}/manifests/{tag}", put_headers, image.manifest)
    _expect(201, answer)
    if answer.headers.get("docker-content-digest") != digest_of(image.manifest):
        raise AnswerError(f"{server.name} stored the manifest under another digest")


def _push_blob(connection: Connection, target: str, headers: Mapping[str, str], content: bytes) -> None:
    repository, _, digest = target.removeprefix("/v2/").partition("/blobs/")
    _expect(404, connection.request("HEAD", target, headers))
    location = _open_upload(connection, repository, headers)
    patch_headers = {**headers, "Content-Type": "application/octet-stream"}
    patched = connection.request("PATCH", location, patch_headers, content)
    _expect(202, patched)
    location = target_of(patched.headers["location"])
    _expect(201, connection.request("PUT", _with_digest(location, digest), headers))


def _open_upload(connection: Connection, repository: str, headers: Mapping[str, str]) -> str:
    opened = connection.request("POST", f"/v2/{repository}/blobs/uploads/", headers)
    _expect(202, opened)
    return target_of(opened.headers["location"])


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={quote(digest)}"


def _expect(status: int, answer: Response) -> None:
    if answer.status != status:
        raise AnswerError(f"status {answer.status} instead of {status}: {answer.body[:300]!r}")
