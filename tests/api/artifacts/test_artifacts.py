"""Artifacts over HTTP: what lists and single ones show, filters, deletion, tags, labels, accessories."""

import time

import pytest
from tests.api.artifacts.content import (
    INDEX,
    MANIFEST,
    House,
    artifact_path,
    make_artifact,
    make_image,
    make_index,
    make_referrer,
    path_of,
    pull,
    push,
    unique,
)
from tests.api.client import Api

NOTATION = "application/vnd.cncf.notary.signature"


def listed(api: Api, repository: str, query: str = "") -> list[str]:
    answer = api.get(path_of(repository, f"artifacts?{query}"))
    assert answer.status == 200, answer.body
    return [artifact["digest"] for artifact in answer.json]


def test_image_shows_what_its_config_and_manifest_say(admin: Api, repository: str) -> None:
    image = make_image(annotations={"org.example": "yes"})
    push(admin, repository, image, "v1", "latest")

    shown = admin.get(artifact_path(repository, "v1")).json

    assert shown["digest"] == image.digest
    assert shown["type"] == "IMAGE"
    assert shown["media_type"] == "application/vnd.oci.image.config.v1+json"
    assert shown["artifact_type"] == "application/vnd.oci.image.config.v1+json"
    assert shown["manifest_media_type"] == MANIFEST
    assert shown["repository_name"] == repository
    assert shown["size"] == image.total_bytes
    assert shown["extra_attrs"] == {
        "architecture": "amd64",
        "author": "tests",
        "config": {"Env": ["A=b"], "Labels": {"who": "tests"}},
        "created": "2026-01-02T03:04:05Z",
        "os": "linux",
    }
    assert shown["annotations"] == {"org.example": "yes"}
    assert shown["references"] == []
    assert {tag["name"] for tag in shown["tags"]} == {"v1", "latest"}
    assert all(tag["artifact_id"] == shown["id"] and tag["immutable"] is False for tag in shown["tags"])
    assert "labels" not in shown
    assert shown["pull_time"].startswith("0001-01-01T00:00:00")
    link = shown["addition_links"]["build_history"]
    assert admin.request("GET", link["href"]).status == 200
    assert link["absolute"] is False


def test_artifact_is_found_by_digest_and_404_by_what_is_not_there(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")

    assert admin.get(artifact_path(repository, image.digest)).json["digest"] == image.digest
    for missing in ("v2", "sha256:" + "0" * 64, "-no-tag"):
        answer = admin.get(artifact_path(repository, missing))
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert admin.get(artifact_path(repository, "sha256:abc")).status == 400
    assert admin.get(artifact_path(repository + "2", "v1")).status == 404


def test_index_is_listed_without_its_untagged_children(admin: Api, repository: str) -> None:
    amd64, arm64 = make_image("amd64"), make_image("arm64")
    push(admin, repository, amd64)
    push(admin, repository, arm64, "arm")
    index = make_index(
        amd64,
        arm64,
        platforms=(
            {"architecture": "amd64", "os": "linux", "os.version": "10"},
            {"architecture": "arm64", "os": "linux", "variant": "v8"},
        ),
    )
    push(admin, repository, index, "all")

    assert listed(admin, repository) == [index.digest, arm64.digest]
    shown = admin.get(artifact_path(repository, "all")).json
    assert (shown["type"], shown["media_type"], shown["manifest_media_type"]) == ("IMAGE", INDEX, INDEX)
    assert shown["size"] == index.total_bytes + amd64.total_bytes + arm64.total_bytes
    assert [child["child_digest"] for child in shown["references"]] == [amd64.digest, arm64.digest]
    assert shown["references"][0]["platform"] == {
        "architecture": "amd64",
        "os": "linux",
        "'os.version'": "10",
    }
    child = admin.get(artifact_path(repository, amd64.digest)).json
    assert shown["references"][0]["child_id"] == child["id"]
    assert shown["references"][0]["parent_id"] == shown["id"]
    assert admin.get(path_of(repository)).json["artifact_count"] == 2


def test_child_of_an_index_is_not_deleted(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "one")
    index = make_index(image)
    push(admin, repository, index, "all")

    answer = admin.delete(artifact_path(repository, "one"))

    assert (answer.status, answer.code) == (412, "PRECONDITION")
    assert pull(admin, repository, "one").status == 200


def test_deleting_an_index_takes_the_children_that_nothing_else_needs(admin: Api, repository: str) -> None:
    lonely, tagged, shared = make_image("a"), make_image("b"), make_image("c")
    for image in (lonely, shared):
        push(admin, repository, image)
    push(admin, repository, tagged, "kept")
    index, other = make_index(lonely, tagged, shared), make_index(shared)
    push(admin, repository, index, "all")
    push(admin, repository, other, "other")
    signature = make_referrer(lonely, NOTATION)
    push(admin, repository, signature)

    assert admin.delete(artifact_path(repository, "all")).status == 200

    statuses = {
        digest: pull(admin, repository, digest).status
        for digest in (
            index.digest,
            lonely.digest,
            signature.digest,
            tagged.digest,
            shared.digest,
            other.digest,
        )
    }
    assert list(statuses.values()) == [404, 404, 404, 200, 200, 200]
    assert pull(admin, repository, "all").status == 404


def test_accessories_are_shown_with_their_subject_and_go_with_it(admin: Api, repository: str) -> None:
    image, other = make_image(), make_image()
    push(admin, repository, image, "v1")
    push(admin, repository, other, "v2")
    notation = make_referrer(image, NOTATION)
    sbom = make_referrer(image, "application/vnd.goharbor.harbor.sbom.v1")
    cosign = make_image()
    push(admin, repository, notation)
    push(admin, repository, sbom)
    push(admin, repository, cosign, image.digest.replace(":", "-") + ".sig")

    assert listed(admin, repository) == [other.digest, image.digest]
    shown = admin.get(artifact_path(repository, "v1") + "?with_accessory=true").json
    found = admin.get(artifact_path(repository, "v1", "accessories"))
    assert shown["accessories"] == found.json
    assert found.headers["x-total-count"] == "3"
    assert {entry["digest"]: entry["type"] for entry in found.json} == {
        notation.digest: "signature.notation",
        sbom.digest: "sbom.harbor",
        cosign.digest: "signature.cosign",
    }
    entry = found.json[0]
    assert entry["subject_artifact_digest"] == image.digest
    assert entry["subject_artifact_id"] == shown["id"]
    assert entry["subject_artifact_repo"] == repository
    assert entry["size"] == notation.total_bytes
    one = admin.get(artifact_path(repository, "v1", "accessories?q=type=signature.cosign"))
    assert [entry["digest"] for entry in one.json] == [cosign.digest]
    assert admin.delete(artifact_path(repository, "v1")).status == 200
    assert [pull(admin, repository, item.digest).status for item in (notation, sbom, cosign)] == [404] * 3


def test_children_inherit_the_signatures_of_their_index(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image)
    index = make_index(image)
    push(admin, repository, index, "all")
    signature = make_referrer(index, NOTATION)
    push(admin, repository, signature)

    path = artifact_path(repository, image.digest)
    shown = admin.get(f"{path}?with_accessory=true&with_inherited_accessory=true").json

    assert shown["accessories"] == []
    assert [entry["digest"] for entry in shown["inherited_accessories"]] == [signature.digest]
    assert "inherited_accessories" not in admin.get(path).json


def test_list_is_filtered_sorted_and_paged(admin: Api, repository: str) -> None:
    images = [make_image() for _ in range(3)]
    for number, image in enumerate(images):
        push(admin, repository, image, f"release-{number}")
    untagged = make_image()
    push(admin, repository, untagged)
    model = make_artifact(b"{}", "application/vnd.example.model.config.v1+json", ((MANIFEST, b"x"),))
    push(admin, repository, model, "model")

    newest_first = [model.digest, untagged.digest, *(image.digest for image in reversed(images))]
    assert listed(admin, repository) == newest_first
    assert listed(admin, repository, "sort=push_time") == newest_first[::-1]
    assert listed(admin, repository, "q=tags=nil") == [untagged.digest]
    assert listed(admin, repository, "q=tags=*&sort=push_time") == [
        *(image.digest for image in images),
        model.digest,
    ]
    assert listed(admin, repository, "q=tags=release-1") == [images[1].digest]
    assert listed(admin, repository, "q=tags=~LEASE-2") == [images[2].digest]
    assert listed(admin, repository, "q=type=MODEL") == [model.digest]
    assert listed(admin, repository, f"q=digest={images[0].digest}") == [images[0].digest]
    assert listed(admin, repository, f"q=digest=~{images[0].digest[7:20]},tags=*") == [images[0].digest]
    page = admin.get(path_of(repository, "artifacts?page=2&page_size=2"))
    assert [artifact["digest"] for artifact in page.json] == newest_first[2:4]
    assert page.headers["x-total-count"] == "5"
    assert 'rel="next"' in page.headers["link"]
    assert "tags" not in admin.get(path_of(repository, "artifacts?with_tag=false")).json[0]
    for wrong in ("q=tags=[a~b]", "q=labels=x", "q=nothing=1", "sort=nothing", "page=0"):
        assert admin.get(path_of(repository, f"artifacts?{wrong}")).status == 400, wrong


def test_tags_are_made_listed_and_deleted(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    path = artifact_path(repository, image.digest, "tags")

    made = admin.post(path, {"name": "stable"})

    assert made.status == 201
    assert made.headers["location"] == f"/api/v2.0{path}/stable".replace("sha256:", "sha256%3A")
    assert pull(admin, repository, "stable").status == 200
    assert [tag["name"] for tag in admin.get(f"{path}?sort=name").json] == ["stable", "v1"]
    assert [tag["name"] for tag in admin.get(f"{path}?q=name=~tab").json] == ["stable"]
    assert admin.post(path, {"name": "v1"}).status == 409
    assert admin.post(path, {"name": "not a tag"}).status == 400
    assert admin.post(artifact_path(repository, "nothing", "tags"), {"name": "x"}).status == 404
    assert admin.delete(f"{path}/stable").status == 200
    assert admin.delete(f"{path}/stable").status == 404
    assert pull(admin, repository, "stable").status == 404
    assert pull(admin, repository, image.digest).status == 200


def test_tag_of_another_artifact_is_not_deleted(admin: Api, repository: str) -> None:
    push(admin, repository, make_image(), "one")
    push(admin, repository, make_image(), "two")

    assert admin.delete(artifact_path(repository, "one", "tags", "two")).status == 404
    assert pull(admin, repository, "two").status == 200


def test_labels_are_put_on_shown_filtered_by_and_taken_off(admin: Api, house: House, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    project_name = repository.partition("/")[0]
    own, everywhere = house.add_label(unique("own"), project_name), house.add_label(unique("all"))
    path = artifact_path(repository, "v1", "labels")

    assert admin.post(path, {"id": own}).status == 200
    assert admin.post(path, {"id": own}).status == 409
    assert admin.post(path, {"id": everywhere}).status == 200

    labels = admin.get(artifact_path(repository, "v1") + "?with_label=true").json["labels"]
    assert {label["id"]: label["scope"] for label in labels} == {own: "p", everywhere: "g"}
    assert listed(admin, repository, f"q=labels=({own}%20{everywhere})") == [image.digest]
    assert listed(admin, repository, f"q=labels=({own},%20{everywhere})") == [image.digest]
    assert listed(admin, repository, f"q=labels=({own}%20999999)") == []
    assert admin.delete(f"{path}/{own}").status == 200
    assert admin.delete(f"{path}/{own}").status == 404
    assert listed(admin, repository, f"q=labels={own}") == []


def test_label_of_another_project_is_not_found(admin: Api, house: House, repository: str) -> None:
    push(admin, repository, make_image(), "v1")
    other = unique("other")
    push(admin, f"{other}/app", make_image(), "v1")
    foreign = house.add_label(unique("foreign"), other)

    answers = [
        admin.post(artifact_path(repository, "v1", "labels"), {"id": id_}) for id_ in (foreign, 999_999_999)
    ]

    assert [answer.status for answer in answers] == [404, 404]


def test_pulls_are_counted_and_their_time_is_noted(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1", "v2")
    for reference in ("v1", "v1", image.digest):
        assert pull(admin, repository, reference).status == 200

    deadline = time.monotonic() + 20
    while admin.get(path_of(repository)).json["pull_count"] < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    shown = admin.get(artifact_path(repository, "v1")).json
    times = {tag["name"]: tag["pull_time"] for tag in shown["tags"]}
    assert admin.get(path_of(repository)).json["pull_count"] == 3
    assert not shown["pull_time"].startswith("0001")
    assert not times["v1"].startswith("0001")
    assert times["v2"].startswith("0001")
    assert shown["pull_time"] >= times["v1"] > shown["push_time"]


def test_effects_on_the_registry_side_show_at_once(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "v1")
    assert admin.request("DELETE", f"/v2/{repository}/manifests/v1").status == 202

    assert admin.get(artifact_path(repository, "v1")).status == 404
    assert admin.get(artifact_path(repository, image.digest)).json["tags"] == []


def test_artifacts_of_a_project_span_its_repositories(admin: Api, repository: str) -> None:
    project_name = repository.partition("/")[0]
    old, new, other = make_image(), make_image(), make_image()
    push(admin, repository, old, "old")
    push(admin, repository, new, "new")
    push(admin, f"{project_name}/other", other, "v1")

    path = f"/projects/{project_name}/artifacts"
    latest = "latest_in_repository=true&q=media_type=application/vnd.oci.image.config.v1%2Bjson"

    assert [item["digest"] for item in admin.get(path).json] == [other.digest, new.digest, old.digest]
    assert [item["digest"] for item in admin.get(f"{path}?{latest}").json] == [other.digest, new.digest]
    assert [item["digest"] for item in admin.get(f"{path}?q=tags=old").json] == [old.digest]
    assert admin.get(f"{path}?latest_in_repository=true").status == 400
    assert admin.get("/projects/no-such-project/artifacts").status == 404


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ()),
        ("DELETE", ()),
        ("GET", ("tags",)),
        ("POST", ("tags",)),
        ("GET", ("accessories",)),
        ("GET", ("additions", "build_history")),
        ("GET", ("additions", "vulnerabilities")),
        ("POST", ("labels",)),
        ("DELETE", ("labels", "1")),
    ],
)
def test_stranger_is_asked_to_sign_in(
    admin: Api, stranger: Api, repository: str, method: str, rest: tuple[str, ...]
) -> None:
    push(admin, repository, make_image(), "v1")
    body = {"name": "x", "id": 1} if method == "POST" else None

    answers = [
        stranger.request(method, f"/api/v2.0{artifact_path(name, 'v1', *rest)}", body)
        for name in (repository, "no-such-project/app")
    ]

    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].body == answers[1].body
