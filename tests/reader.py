"""A plain reader of registries, independent of Homeport's own client, that trusts no digest."""

import base64
import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Registry:
    """What a client needs to know about a registry that runs."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None

    @property
    def host(self) -> str:
        """Host and port, as they stand in an image reference."""
        return self.url.partition("://")[2]

    @property
    def tls(self) -> bool:
        """Whether clients must speak TLS."""
        return self.url.startswith("https:")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A manifest or index as the registry serves it, with the digests of all that it needs."""

    digest: str
    media_type: str
    body: dict[str, Any]
    content: frozenset[str]

    @property
    def layers(self) -> list[str]:
        """The digests of the layers, from the base up."""
        return [layer["digest"] for layer in self.body["layers"]]

    @property
    def config_digest(self) -> str:
        """The digest of the configuration, which Docker calls the image's id."""
        return str(self.body["config"]["digest"])


class RegistryReader:
    """Reads what a registry serves, with Basic authentication, one connection per request."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a request without a body."""
        parts = urlsplit(self.registry.url)
        connection: http.client.HTTPConnection
        if self.registry.tls:
            trusted = ssl.create_default_context(cafile=str(self.registry.ca) if self.registry.ca else None)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=trusted)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        sent = dict(headers or {})
        if self.registry.user:
            account = f"{self.registry.user}:{self.registry.password}".encode()
            sent["Authorization"] = f"Basic {base64.b64encode(account).decode()}"
        try:
            connection.request(method, path, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def challenge(self) -> str:
        """Return how the registry asks anonymous clients to sign in."""
        answer = RegistryReader(replace(self.registry, user="")).request("GET", "/v2/")
        return {name.lower(): value for name, value in answer.headers.items()}.get("www-authenticate", "")

    def status(self, path: str) -> int:
        """Return the status of a GET."""
        return self.request("GET", path).status

    def read(self, path: str, accept: str = "*/*") -> Answer:
        """Return the answer to a GET that must succeed."""
        answer = self.request("GET", path, {"Accept": accept})
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body[:500]!r}"
        return answer

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository."""
        return list(json.loads(self.read(f"/v2/{repository}/tags/list").body)["tags"] or [])

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a blob; fails when its bytes do not hash to the digest."""
        body = self.read(f"/v2/{repository}/blobs/{digest}").body
        assert _sha256(body) == digest
        return body

    def image(self, repository: str, reference: str) -> StoredImage:
        """Return an image after reading all of it; fails when one byte of it is missing or wrong."""
        answer = self.read(f"/v2/{repository}/manifests/{reference}", accept=MANIFEST_TYPES)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        digest, body = _sha256(answer.body), json.loads(answer.body)
        assert headers["docker-content-digest"] == digest
        assert reference == digest or ":" not in reference
        content = {digest}
        for child in body.get("manifests", []):
            content |= self.image(repository, child["digest"]).content
        for descriptor in [body["config"], *body["layers"]] if "layers" in body else []:
            assert len(self.blob(repository, descriptor["digest"])) == descriptor["size"]
            content.add(descriptor["digest"])
        return StoredImage(digest, headers["content-type"], body, frozenset(content))

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of what refers to a manifest."""
        return list(json.loads(self.read(f"/v2/{repository}/referrers/{digest}").body)["manifests"])


def _sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
