"""Additions and icons over HTTP: build history, files of charts, and what hostile archives get."""

import base64
import gzip
import json

import pytest
from tests.api.artifacts.content import (
    CHART_CONFIG,
    CHART_LAYER,
    artifact_path,
    described,
    make_artifact,
    make_chart,
    make_image,
    make_index,
    packed,
    push,
)
from tests.api.client import Api

DEPENDENCIES = [{"name": "db", "version": "1.0.0", "repository": "https://charts.example.org"}]


def test_build_history_comes_from_the_config(admin: Api, repository: str) -> None:
    push(admin, repository, make_image(), "v1")

    answer = admin.get(artifact_path(repository, "v1", "additions", "build_history"))

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json == [{"created": "2026-01-02T03:04:05Z", "created_by": "COPY . /"}]


def test_chart_shows_its_files_and_its_config(admin: Api, repository: str) -> None:
    files = {
        "Chart.yaml": b"name: web\n",
        "charts/db/values.yaml": b"not: this\n",
        "README.md": b"# Web\n",
        "values.yaml": b"replicas: 2\n",
    }
    push(admin, repository, make_chart(files, dependencies=DEPENDENCIES), "1.2.3")
    path = artifact_path(repository, "1.2.3", "additions")

    answers = {name: admin.get(f"{path}/{name}") for name in ("values.yaml", "readme.md", "dependencies")}

    assert [answer.status for answer in answers.values()] == [200, 200, 200]
    assert answers["values.yaml"].body == b"replicas: 2\n"
    assert answers["values.yaml"].headers["content-type"] == "text/plain; charset=utf-8"
    assert answers["readme.md"].body == b"# Web\n"
    assert answers["readme.md"].headers["content-type"] == "text/markdown; charset=utf-8"
    assert answers["dependencies"].json == DEPENDENCIES
    shown = admin.get(artifact_path(repository, "1.2.3")).json
    assert shown["type"] == "CHART"
    assert shown["extra_attrs"]["version"] == "1.2.3"
    assert set(shown["addition_links"]) == {"values.yaml", "readme.md", "dependencies"}


def test_what_a_type_does_not_have_is_refused(admin: Api, repository: str) -> None:
    image = make_image()
    push(admin, repository, image, "image")
    push(admin, repository, make_index(image), "index")

    expected = {
        ("image", "values.yaml"): 400,
        ("index", "build_history"): 400,
        ("image", "vulnerabilities"): 501,
        ("image", "sbom"): 501,
        ("image", "nothing"): 422,
        ("none", "build_history"): 404,
    }
    statuses = {
        (tag, name): admin.get(artifact_path(repository, tag, "additions", name)).status
        for tag, name in expected
    }

    assert statuses == expected


@pytest.mark.parametrize(
    "layer",
    [
        b"no archive",
        gzip.compress(b"no tar" * 200),
        packed({"Chart.yaml": b"x" * 5000})[:-20],
        packed({"a": bytes(64 * 1024 * 1024)}),
        packed({"values.yaml": bytes(3 * 1024 * 1024)}),
    ],
    ids=["no gzip", "no tar", "cut off", "bomb", "large file"],
)
def test_hostile_chart_is_refused(admin: Api, repository: str, layer: bytes) -> None:
    chart = make_artifact(json.dumps({"name": "x"}).encode(), CHART_CONFIG, ((CHART_LAYER, layer),))
    push(admin, repository, chart, "v1")

    answer = admin.get(artifact_path(repository, "v1", "additions", "values.yaml"))

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_chart_of_another_repository_cannot_be_named_as_a_foreign_layer(admin: Api, repository: str) -> None:
    secret = packed({"values.yaml": b"password: secret"})
    push(admin, f"{repository}-secret", make_artifact(b"{}", CHART_CONFIG, ((CHART_LAYER, secret),)), "v1")
    foreign = {**described(CHART_LAYER, secret), "urls": ["https://charts.example.org/x"]}
    push(admin, repository, make_artifact(b'{"name": "x"}', CHART_CONFIG, (), foreign=[foreign]), "v1")

    answer = admin.get(artifact_path(repository, "v1", "additions", "values.yaml"))

    assert answer.status == 404
    assert b"secret" not in answer.body


def test_config_that_is_no_json_has_no_history(admin: Api, repository: str) -> None:
    broken = make_artifact(b"\0no json", "application/vnd.oci.image.config.v1+json", ())
    push(admin, repository, broken, "v1")

    assert admin.get(artifact_path(repository, "v1", "additions", "build_history")).status == 400
    assert "extra_attrs" not in admin.get(artifact_path(repository, "v1")).json


def test_icon_of_an_artifact_is_served(admin: Api, stranger: Api, repository: str) -> None:
    push(admin, repository, make_image(), "v1")
    digest = admin.get(artifact_path(repository, "v1")).json["icon"]

    icon = stranger.get(f"/icons/{digest}")

    assert icon.status == 200
    assert icon.json["content-type"] == "image/svg+xml"
    assert base64.b64decode(icon.json["content"]).startswith(b"<svg ")
    assert stranger.get(f"/icons/sha256:{'0' * 64}").status == 404
    assert stranger.get("/icons/nothing").status == 400
