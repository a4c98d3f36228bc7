import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.oci.digest import Digest, parse_digest
from homeport.oci.name import MAX_NAME_LENGTH
from homeport.oci.reference import ImageReference, ReferenceInvalidError, parse_image_reference

DIGEST_TEXT = "sha256:" + "a" * 64
DIGEST = parse_digest(DIGEST_TEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", ImageReference("docker.io", "library/nginx")),
        ("nginx:1.25", ImageReference("docker.io", "library/nginx", "1.25")),
        ("bitnami/nginx", ImageReference("docker.io", "bitnami/nginx")),
        ("a/b/c", ImageReference("docker.io", "a/b/c")),
        ("docker.io/nginx", ImageReference("docker.io", "library/nginx")),
        ("docker.io/bitnami/nginx:x", ImageReference("docker.io", "bitnami/nginx", "x")),
        ("index.docker.io/nginx", ImageReference("docker.io", "library/nginx")),
        ("registry-1.docker.io/library/nginx", ImageReference("docker.io", "library/nginx")),
        ("localhost/a", ImageReference("localhost", "a")),
        ("localhost:5000/a", ImageReference("localhost:5000", "a")),
        ("localhost:5000/a:5000", ImageReference("localhost:5000", "a", "5000")),
        ("localhost:5000", ImageReference("docker.io", "library/localhost", "5000")),
        ("registry.k8s.io/pause:3.9", ImageReference("registry.k8s.io", "pause", "3.9")),
        ("quay.io/a/b/c:v1", ImageReference("quay.io", "a/b/c", "v1")),
        ("10.0.0.1:5000/a/b", ImageReference("10.0.0.1:5000", "a/b")),
        ("[::1]:5000/a/b:t", ImageReference("[::1]:5000", "a/b", "t")),
        ("[fd00::1]/a", ImageReference("[fd00::1]", "a")),
        ("MyHost/a", ImageReference("MyHost", "a")),
        (f"nginx@{DIGEST_TEXT}", ImageReference("docker.io", "library/nginx", None, DIGEST)),
        (f"h.io/a/b:t@{DIGEST_TEXT}", ImageReference("h.io", "a/b", "t", DIGEST)),
        ("localhost", ImageReference("docker.io", "library/localhost")),
    ],
)
def test_reference_follows_the_rules_of_docker(text: str, expected: ImageReference) -> None:
    assert parse_image_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        ":",
        "@",
        ":tag",
        "nginx:",
        "nginx@",
        "nginx:.a",
        "nginx:a b",
        "nginx:" + "a" * 129,
        "nginx@sha256:abc",
        "nginx@md5:" + "a" * 32,
        f"nginx@{DIGEST_TEXT}@{DIGEST_TEXT}",
        f"nginx@{DIGEST_TEXT}:tag",
        "Nginx",
        "a/Nginx",
        "a//b",
        "a/b/",
        "/a/b",
        "https://docker.io/nginx",
        "docker://nginx",
        "host.io/",
        "host.io:99999999/a",
        "host.io:port/a",
        "-host.io/a",
        "host_name.io/a",
        "nginx:tag:tag",
        "a b/c",
        "nginx\n",
        "n\u00e4mlich",
        "h.io/" + "a" * (MAX_NAME_LENGTH + 1),
    ],
)
def test_reference_malformed_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalidError) as caught:
        parse_image_reference(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", "latest"),
        ("nginx:stable", "stable"),
        (f"nginx@{DIGEST_TEXT}", DIGEST_TEXT),
        (f"nginx:stable@{DIGEST_TEXT}", DIGEST_TEXT),
    ],
)
def test_reference_prefers_digest_then_tag_then_latest(text: str, expected: str) -> None:
    assert parse_image_reference(text).reference == expected


def test_reference_at_a_digest_loses_its_tag() -> None:
    found = parse_image_reference("h.io/a/b:t").with_digest(DIGEST)
    assert str(found) == f"h.io/a/b@{DIGEST_TEXT}"


component = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)?", fullmatch=True)
host = st.builds(
    lambda name, port: f"{name}.example{port}",
    component,
    st.sampled_from(["", ":5000"]),
)


@given(
    host,
    st.lists(component, min_size=1, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True),
    st.none() | st.just(DIGEST),
)
def test_reference_text_reads_back(
    registry: str, repository: str, tag: str | None, digest: Digest | None
) -> None:
    reference = ImageReference(registry, repository, tag, digest)
    assert parse_image_reference(str(reference)) == reference


@given(st.text(max_size=100))
def test_reference_parser_knows_only_its_error(text: str) -> None:
    try:
        found = parse_image_reference(text)
    except ReferenceInvalidError:
        return
    assert parse_image_reference(str(found)) == found
