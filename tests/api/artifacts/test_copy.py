"""Copies between repositories of one server: links instead of content, whole or not at all, with rights."""

import json
import threading
from urllib.parse import quote

import pytest
from tests.api.artifacts.content import (
    Artifact,
    House,
    artifact_path,
    digest_of,
    make_image,
    make_index,
    make_referrer,
    path_of,
    pull,
    push,
    unique,
)
from tests.api.client import Api, ApiAnswer
from tests.api.users.accounts import make_user

DEVELOPER, GUEST = 2, 3


def copy(api: Api, source: str, target: str) -> ApiAnswer:
    return api.post(path_of(target, f"artifacts?from={quote(source, safe='')}"))


def blob_status(api: Api, repository: str, content: bytes) -> int:
    return api.request("GET", f"/v2/{repository}/blobs/{digest_of(content)}").status


@pytest.fixture
def target() -> str:
    """Return a repository that does not exist, in a project that does."""
    return f"library/{unique('copies')}/app"


def test_copy_takes_tags_and_blobs_along(admin: Api, repository: str, target: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1", "latest")

    answer = copy(admin, f"{repository}:v1", target)

    assert answer.status == 201
    expected = f"/api/v2.0{path_of(target, 'artifacts')}/{quote(image.digest, safe='')}"
    assert answer.headers["location"] == expected
    assert pull(admin, target, "v1").body == pull(admin, target, "latest").body == image.body
    assert [blob_status(admin, target, blob) for blob in image.blobs] == [200, 200]
    shown = [admin.get(artifact_path(name, "v1")).json for name in (repository, target)]
    assert shown[0]["extra_attrs"] == shown[1]["extra_attrs"]
    assert shown[0]["size"] == shown[1]["size"]
    assert shown[1]["repository_name"] == target


def test_copy_by_digest_of_what_is_there_is_a_conflict(admin: Api, repository: str, target: str) -> None:
    image = make_image()
    push(admin, repository, image)

    statuses = [copy(admin, f"{repository}@{image.digest}", target).status for _ in range(2)]

    assert statuses == [201, 409]
    assert copy(admin, f"{repository}@{image.digest}", repository).status == 409


def test_copy_of_an_index_takes_children_and_accessories(admin: Api, repository: str, target: str) -> None:
    images = [make_image("amd64"), make_image("arm64")]
    for image in images:
        push(admin, repository, image)
    index = make_index(*images)
    push(admin, repository, index, "all")
    cosign = make_image()
    signature_tag = index.digest.replace(":", "-") + ".sig"
    push(admin, repository, cosign, signature_tag)
    notation = make_referrer(images[0], "application/vnd.cncf.notary.signature")
    push(admin, repository, notation)

    assert copy(admin, f"{repository}:all", target).status == 201

    everything = (index, *images, cosign, notation)
    assert [pull(admin, target, item.digest).status for item in everything] == [200] * 5
    assert pull(admin, target, signature_tag).status == 200
    referrers = admin.request("GET", f"/v2/{target}/referrers/{images[0].digest}").json["manifests"]
    assert [entry["digest"] for entry in referrers] == [notation.digest]
    listed = admin.get(path_of(target, "artifacts?with_accessory=true")).json
    assert [item["digest"] for item in listed] == [index.digest]
    assert [item["digest"] for item in listed[0]["accessories"]] == [cosign.digest]
    assert listed[0]["size"] == sum(item.total_bytes for item in (index, *images))


def test_source_may_go_after_the_copy(admin: Api, repository: str, target: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    assert copy(admin, f"{repository}:v1", target).status == 201

    assert admin.delete(path_of(repository)).status == 200

    assert pull(admin, repository, "v1").status == 404
    assert pull(admin, target, "v1").status == 200
    assert [blob_status(admin, target, blob) for blob in image.blobs] == [200, 200]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("library/no-such-repository:v1", 404),
        ("no-such-project/app:v1", 404),
        ("library/x@sha256:abc", 400),
        ("noproject:v1", 400),
        ("library/app", 400),
        ("library/app@", 400),
        ("library/App:v1", 400),
        ("", 400),
    ],
)
def test_copy_of_nothing_is_refused(admin: Api, target: str, source: str, status: int) -> None:
    if source.startswith("library/x@"):
        push(admin, "library/x", make_image(), "v1")

    assert copy(admin, source, target).status == status
    assert admin.get(path_of(target)).status == 404


def test_copy_into_a_project_that_does_not_exist_is_not_found(admin: Api, repository: str) -> None:
    push(admin, repository, make_image(), "v1")

    assert copy(admin, f"{repository}:v1", f"{unique('none')}/app").status == 404


def test_copy_needs_rights_on_both_sides(admin: Api, house: House, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    own = f"{unique('own')}/app"
    push(admin, own, make_image(), "first")
    user = make_user(admin)
    house.add_member(user.id, own.partition("/")[0], DEVELOPER)

    hidden = copy(user.api, f"{repository}:v1", own)
    missing = copy(user.api, f"{unique('none')}/app:v1", own)
    assert (hidden.status, missing.status) == (403, 403)
    assert hidden.body == missing.body
    house.add_member(user.id, repository.partition("/")[0], GUEST)
    assert copy(user.api, f"{own}:first", repository).status == 403
    assert copy(user.api, f"{repository}:v1", own).status == 201
    assert pull(user.api, own, "v1").status == 200


def test_guest_of_the_target_may_not_copy_into_it(admin: Api, house: House, repository: str) -> None:
    push(admin, repository, make_image(), "v1")
    user = make_user(admin)
    house.add_member(user.id, repository.partition("/")[0], GUEST)

    assert copy(user.api, f"{repository}:v1", repository + "-copy").status == 403


def test_copy_while_the_source_is_deleted_is_whole_or_nothing(admin: Api, target: str) -> None:
    for attempt in range(8):
        source, copied = f"library/{unique('source')}", f"{target}-{attempt}"
        images = [make_image("amd64"), make_image("arm64")]
        for image in images:
            push(admin, source, image)
        index = make_index(*images)
        push(admin, source, index, "all")
        answers: dict[str, ApiAnswer] = {}

        def run_copy(
            source: str = source, copied: str = copied, answers: dict[str, ApiAnswer] = answers
        ) -> None:
            answers["copy"] = copy(admin, f"{source}:all", copied)

        def run_delete(source: str = source, answers: dict[str, ApiAnswer] = answers) -> None:
            answers["delete"] = admin.delete(path_of(source))

        threads = [
            threading.Thread(target=run) for run in ((run_copy, run_delete)[:: 1 if attempt % 2 else -1])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert answers["delete"].status == 200
        assert answers["copy"].status in {201, 404}
        _check_whole(admin, copied, (index, *images), is_there=answers["copy"].status == 201)


def _check_whole(api: Api, repository: str, items: tuple[Artifact, ...], *, is_there: bool) -> None:
    expected = 200 if is_there else 404
    assert {pull(api, repository, item.digest).status for item in items} == {expected}
    blobs = [blob for item in items for blob in item.blobs]
    assert {blob_status(api, repository, blob) for blob in blobs} == {expected}


def test_copy_is_audited(admin: Api, repository: str, target: str, house: House) -> None:
    push(admin, repository, make_image(), "v1")

    assert copy(admin, f"{repository}:v1", target).status == 201

    records = house.audit_records(target)
    assert [(record["operation"], record["reference"]) for record in records] == [("copy", "v1")]
    assert repository in json.dumps(records)
