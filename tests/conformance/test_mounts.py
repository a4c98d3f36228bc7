"""Section 3 of the protocol: blobs mounted from other repositories."""

import pytest
from tests.conformance.content import (
    ABSENT,
    BLOB,
    BLOB_512,
    EMPTY,
    LAYER,
    Blob,
    random_bytes,
)
from tests.conformance.table import (
    UPLOADS,
    Case,
    Exam,
    Wanted,
    blobs,
    case,
    delete,
    escaped,
    head,
    post,
)
from tests.conformance.upload_steps import finish, session, there


def mounted(digest: str) -> dict[str, Wanted]:
    """Return the headers of a blob that was mounted."""
    return {"Location": f"/v2/$repo/blobs/{digest}", "Docker-Content-Digest": digest}


MOUNTS = [
    case(
        "a blob of another repository is mounted",
        head(blobs(BLOB.digest), 404),
        post(f"{UPLOADS}?mount={BLOB.digest}&from=$other", 201, want=mounted(BLOB.digest)),
        there(BLOB.content, BLOB.digest),
        delete(f"/v2/$other/blobs/{BLOB.digest}"),
        there(BLOB.content, BLOB.digest),
        other=(BLOB,),
    ),
    case(
        "parameters escaped, with the origin that crane adds",
        post(
            f"{UPLOADS}?mount={escaped(BLOB.digest)}&from=$other&origin=registry.example.com",
            201,
            want=mounted(BLOB.digest),
        ),
        other=(BLOB,),
    ),
    case(
        "a sha512 blob is mounted",
        post(f"{UPLOADS}?mount={BLOB_512.digest}&from=$other", 201, want=mounted(BLOB_512.digest)),
        there(BLOB_512.content, BLOB_512.digest),
        other=(BLOB_512,),
    ),
    case(
        "a blob that is here already is mounted",
        post(f"{UPLOADS}?mount={BLOB.digest}&from=$other", 201, want=mounted(BLOB.digest)),
        seed=(BLOB,),
        other=(BLOB,),
    ),
    case(
        "a mount from the repository itself",
        post(f"{UPLOADS}?mount={BLOB.digest}&from=$repo", 201, want=mounted(BLOB.digest)),
        seed=(BLOB,),
    ),
    case(
        "a mount that failed is an upload like any other",
        post(f"{UPLOADS}?mount={BLOB.digest}&from=$other", 202, want=session(0)),
        finish(BLOB.digest, body=BLOB.content),
        there(BLOB.content, BLOB.digest),
        other=(EMPTY,),
    ),
    *(
        case(
            f"no mount: {about}",
            post(f"{UPLOADS}?{query}", 202, want=session(0)),
            delete("$location", 204),
            head(blobs(BLOB.digest), 404),
            other=(LAYER,),
        )
        for about, query in [
            ("an unknown blob", f"mount={BLOB.digest}&from=$other"),
            ("an unknown repository", f"mount={LAYER.digest}&from=conformance/absent"),
            ("an unknown project", f"mount={LAYER.digest}&from=absent/absent"),
            ("a bad digest", "mount=sha256:baddigeststring&from=$other"),
            ("a tag for a digest", "mount=latest&from=$other"),
            ("an unknown algorithm", f"mount=md5:{'a' * 32}&from=$other"),
            ("a bad repository name", f"mount={LAYER.digest}&from=UPPER/case"),
            ("a one-component name", f"mount={LAYER.digest}&from=nginx"),
            ("a path for a name", f"mount={LAYER.digest}&from=../../etc"),
            ("an empty repository name", f"mount={ABSENT}&from="),
            ("an empty digest", "mount=&from=$other"),
            ("a repository without a digest", "from=$other"),
            ("an unknown blob from anywhere", f"mount={ABSENT}"),
            ("a bad digest from anywhere", "mount=x"),
        ]
    ),
]


@pytest.mark.parametrize("row", [*MOUNTS], ids=lambda row: row.about)
def test_mount_row(exam: Exam, row: Case) -> None:
    exam.run(row)


def test_mount_without_source_finds_the_blob_or_starts_an_upload(exam: Exam) -> None:
    blob = Blob(random_bytes(333, 77))
    exam.new_repository((blob,))
    name = exam.new_repository()
    answer = exam.registry.ask_as_admin("POST", f"/v2/{name}/blobs/uploads/?mount={blob.digest}")
    if answer.status == 201:
        assert answer.header("Docker-Content-Digest") == blob.digest
        assert exam.registry.ask_as_admin("GET", f"/v2/{name}/blobs/{blob.digest}").body == blob.content
    else:
        assert answer.status == 202
        assert exam.registry.ask_as_admin("HEAD", f"/v2/{name}/blobs/{blob.digest}").status == 404
