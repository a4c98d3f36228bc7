"""Projects with members, and images pushed into them over `/v2`, for the tests of projects."""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from tests.api.client import Api, ApiAnswer
from tests.api.users.accounts import TestUser, make_user, unique

ADMIN, DEVELOPER, GUEST, MAINTAINER, LIMITED_GUEST = 1, 2, 3, 4, 5
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Project:
    """A project that a test made."""

    id: int
    name: str
    admin: Api

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/projects/{self.name}"

    @property
    def quota(self) -> dict[str, int]:
        """The limit and the use in bytes."""
        quota = self.admin.get(f"{self.path}/summary").json["quota"]
        return {"hard": quota["hard"]["storage"], "used": quota["used"]["storage"]}

    def set_limit(self, limit_bytes: int) -> ApiAnswer:
        """Set the quota."""
        found = self.admin.get(f"/quotas?reference=project&reference_id={self.id}").json
        return self.admin.put(f"/quotas/{found[0]['id']}", {"hard": {"storage": limit_bytes}})

    def add_member(self, user: TestUser, role_id: int, pattern: str = "") -> int:
        """Make the user a member and return the member's id."""
        body = {
            "role_id": role_id,
            "member_user": {"user_id": user.id},
            "repository_pattern": pattern,
        }
        return self.admin.post(f"{self.path}/members", body).created_id

    def make_member(self, role_id: int, pattern: str = "") -> TestUser:
        """Make a user who is a member."""
        user = make_user(self.admin)
        self.add_member(user, role_id, pattern)
        return user


def make_project(admin: Api, *, public: bool = False, **more: object) -> Project:
    """Make a project of a name that nothing else has."""
    name = unique("project")
    metadata = {"public": "true" if public else "false"}
    body = {"project_name": name, "metadata": metadata, **more}
    return Project(admin.post("/projects", body).created_id, name, admin)


def push_blob(api: Api, repository: str, content: bytes) -> ApiAnswer:
    """Push a blob in one request."""
    digest = digest_of(content)
    path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
    return api.request("POST", path, content, {"content-type": "application/octet-stream"})


def mount_blob(api: Api, repository: str, digest: str, source: str) -> ApiAnswer:
    """Mount a blob of another repository."""
    return api.request("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={source}")


def image_of(*contents: bytes) -> bytes:
    """Return the manifest of an image: the first content is its config, the others its layers."""
    described: list[dict[str, Any]] = [
        {"mediaType": "application/octet-stream", "digest": digest_of(each), "size": len(each)}
        for each in contents
    ]
    image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    return json.dumps(image).encode()


def push_manifest(api: Api, repository: str, body: bytes, reference: str = "latest") -> ApiAnswer:
    """Push a manifest."""
    path = f"/v2/{repository}/manifests/{reference}"
    return api.request("PUT", path, body, {"content-type": MANIFEST})


def push_image(api: Api, repository: str, *contents: bytes, reference: str = "latest") -> bytes:
    """Push an image with all that it names, and return its manifest."""
    for content in contents:
        answer = push_blob(api, repository, content)
        assert answer.status == 201, answer.body
    body = image_of(*contents)
    answer = push_manifest(api, repository, body, reference)
    assert answer.status == 201, answer.body
    return body


def delete_manifest(api: Api, repository: str, body: bytes) -> ApiAnswer:
    """Delete a manifest by its digest."""
    return api.request("DELETE", f"/v2/{repository}/manifests/{digest_of(body)}")


def pull_status(api: Api, repository: str, reference: str = "latest") -> int:
    """Return the status of a pull."""
    return api.request("GET", f"/v2/{repository}/manifests/{reference}").status


def digest_of(content: bytes) -> str:
    """Return the content's digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fresh(size: int = 1000) -> bytes:
    """Return bytes that nobody has pushed."""
    return os.urandom(size)
