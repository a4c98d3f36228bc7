"""Quotas over HTTP: what counts, and what does not fit any more."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.api.client import Api
from tests.api.projects.house import (
    ADMIN,
    DEVELOPER,
    delete_manifest,
    digest_of,
    fresh,
    image_of,
    make_project,
    mount_blob,
    push_blob,
    push_image,
    push_manifest,
)


def test_content_counts_once_in_its_project(admin: Api) -> None:
    project = make_project(admin)
    config, layer = fresh(100), fresh(5000)

    body = push_image(admin, f"{project.name}/one", config, layer)

    expected = len(body) + 5100
    assert project.quota == {"hard": -1, "used": expected}
    push_image(admin, f"{project.name}/two", config, layer)
    push_image(admin, f"{project.name}/one", config, layer, reference="again")
    assert project.quota["used"] == expected
    assert mount_blob(admin, f"{project.name}/three", digest_of(layer), f"{project.name}/one").status == 201
    assert project.quota["used"] == expected
    other = make_project(admin)
    assert mount_blob(admin, f"{other.name}/one", digest_of(layer), f"{project.name}/one").status == 201
    assert other.quota["used"] == 5000


def test_deleted_content_counts_no_more_when_nothing_needs_it(admin: Api) -> None:
    project = make_project(admin)
    shared, own = fresh(3000), fresh(2000)
    first = push_image(admin, f"{project.name}/one", fresh(10), shared)
    second = push_image(admin, f"{project.name}/two", fresh(20), shared, own)

    assert delete_manifest(admin, f"{project.name}/two", second).status == 202
    assert project.quota["used"] == len(first) + 10 + 3000
    assert delete_manifest(admin, f"{project.name}/one", first).status == 202
    assert project.quota["used"] == 0
    assert push_manifest(admin, f"{project.name}/one", first).status == 201
    assert project.quota["used"] == len(first) + 10 + 3000
    for name in ("one", "two"):
        assert admin.delete(f"{project.path}/repositories/{name}").status == 200
    assert project.quota["used"] == 0


def test_deleted_blob_counts_until_no_repository_of_the_project_has_it(admin: Api) -> None:
    project = make_project(admin)
    blob = fresh(4000)
    for name in ("one", "two"):
        assert push_blob(admin, f"{project.name}/{name}", blob).status == 201

    assert admin.request("DELETE", f"/v2/{project.name}/one/blobs/{digest_of(blob)}").status == 202
    assert project.quota["used"] == 4000
    assert admin.request("DELETE", f"/v2/{project.name}/two/blobs/{digest_of(blob)}").status == 202
    assert project.quota["used"] == 0


def test_what_exceeds_the_quota_is_denied_in_the_words_of_harbor(admin: Api) -> None:
    project = make_project(admin)
    user = project.make_member(DEVELOPER).api
    repository = f"{project.name}/app"
    config, layer = fresh(10), fresh(5000)
    push_blob(user, repository, config)
    assert project.set_limit(4000).status == 200

    answer = push_blob(user, repository, layer)

    assert (answer.status, answer.code) == (403, "DENIED")
    assert answer.message.startswith("Quota exceeded when processing the request of adding 4.9 KiB")
    assert "3.9 KiB" in answer.message
    assert project.quota == {"hard": 4000, "used": 10}
    digest = digest_of(layer)
    assert user.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404
    location = user.request("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
    octets = {"content-type": "application/octet-stream"}
    assert user.request("PATCH", location, layer, octets).status == 202
    assert user.request("PUT", f"{location}?digest={digest}", b"", octets).status == 403
    assert user.request("GET", location).status == 404
    assert project.quota["used"] == 10


def test_manifests_and_mounts_are_held_to_the_quota_too(admin: Api) -> None:
    source, target = make_project(admin), make_project(admin)
    layer = fresh(5000)
    push_blob(admin, f"{source.name}/app", layer)
    config = fresh(10)
    push_blob(admin, f"{target.name}/app", config)
    assert target.set_limit(10).status == 200

    mounted = mount_blob(admin, f"{target.name}/app", digest_of(layer), f"{source.name}/app")
    assert (mounted.status, mounted.code) == (403, "DENIED")
    manifest = push_manifest(admin, f"{target.name}/app", image_of(config))
    assert (manifest.status, manifest.code) == (403, "DENIED")
    assert admin.request("GET", f"/v2/{target.name}/app/manifests/latest").status == 404
    # what is there already costs nothing more
    assert push_blob(admin, f"{target.name}/other", config).status == 201
    assert target.set_limit(-1).status == 200
    assert push_manifest(admin, f"{target.name}/app", image_of(config)).status == 201


def test_pushes_at_once_do_not_exceed_the_quota_together(admin: Api) -> None:
    project = make_project(admin)
    assert project.set_limit(10_000).status == 200

    def push(number: int) -> int:
        return push_blob(admin, f"{project.name}/app-{number % 4}", fresh(1500)).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(push, range(24)))

    assert statuses.count(201) == 6
    assert statuses.count(403) == 18
    assert project.quota["used"] == 9000


def test_the_same_content_pushed_at_once_counts_once(admin: Api) -> None:
    project = make_project(admin)
    content = fresh(1234)

    def push(number: int) -> int:
        return push_blob(admin, f"{project.name}/app-{number}", content).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(push, range(16))) == {201}
    assert project.quota["used"] == 1234


def test_quotas_are_for_those_who_see_the_system(admin: Api, stranger: Api) -> None:
    project = make_project(admin)
    user = project.make_member(ADMIN).api
    quota_id = admin.get(f"/quotas?reference_id={project.id}").json[0]["id"]
    for api, status in ((user, 403), (stranger, 401)):
        assert api.get("/quotas").status == status
        assert api.get(f"/quotas/{quota_id}").status == status
        assert api.put(f"/quotas/{quota_id}", {"hard": {"storage": -1}}).status == status
    shown = admin.get(f"/quotas/{quota_id}").json
    assert shown["ref"] == {"id": project.id, "name": project.name, "owner_name": "admin"}
    assert shown["hard"] == {"storage": -1}
    assert admin.get("/quotas?sort=-used.storage&page_size=1").status == 200
    assert admin.get("/quotas?reference=user").json == []
    assert admin.get("/quotas?reference_id=x").status == 422


@pytest.mark.parametrize(
    ("hard", "status"),
    [
        ({"storage": 0}, 400),
        ({"storage": -5}, 400),
        ({"storage": 2**60}, 400),
        ({"storage": 2**80}, 400),
        ({"count": 5}, 400),
        ({}, 400),
        ({"storage": "many"}, 422),
        ({"storage": 10**9}, 200),
    ],
)
def test_quota_takes_only_sensible_limits(admin: Api, hard: dict[str, object], status: int) -> None:
    project = make_project(admin)
    quota_id = admin.get(f"/quotas?reference_id={project.id}").json[0]["id"]

    assert admin.put(f"/quotas/{quota_id}", {"hard": hard}).status == status
    assert admin.get(f"/quotas/{10**15}").status == 404
    assert admin.get(f"/quotas/{2**80}").status == 404
