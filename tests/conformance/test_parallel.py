"""Sections 3 and 4 of the protocol: what several clients do at once to one repository."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conformance.content import (
    CONFIG,
    IMAGE,
    IMAGE_ARM,
    OCI_CONFIG,
    OCI_MANIFEST,
    PARTS,
    Blob,
    image,
    random_bytes,
)
from tests.conformance.table import Exam, check_every_answer
from tests.conformance.wire import Answer, Headers, encode_head
from tests.servers import HomeportServer

TYPED: Headers = (("Content-Type", OCI_MANIFEST),)
CLIENTS = 8


def together(work: Callable[[int], list[Answer]]) -> list[Answer]:
    """Run the work in several threads that start at the same moment; return all answers."""
    barrier = threading.Barrier(CLIENTS)

    def run(number: int) -> list[Answer]:
        barrier.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [answer for answers in pool.map(run, range(CLIENTS)) for answer in answers]


def upload(exam: Exam, name: str, blob: Blob, form: int) -> list[Answer]:
    """Upload the blob in one of three forms; return every answer."""
    admin = exam.registry.admin
    with exam.registry.connect() as wire:
        if form == 0:
            target = f"/v2/{name}/blobs/uploads/?digest={blob.digest}"
            return [wire.ask("POST", target, admin, blob.content)]
        started = wire.ask("POST", f"/v2/{name}/blobs/uploads/", admin)
        location = started.header("Location") or ""
        if form == 1:
            return [started, wire.ask("PUT", f"{location}?digest={blob.digest}", admin, blob.content)]
        sent = wire.ask("PATCH", location, admin, blob.content)
        return [started, sent, wire.ask("PUT", f"{location}?digest={blob.digest}", admin)]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_one_blob_uploaded_by_many_is_one_blob(exam: Exam, algorithm: str) -> None:
    blob = Blob(random_bytes(300_000, 21), algorithm)
    name = exam.new_repository()
    answers = together(lambda number: upload(exam, name, blob, number % 3))
    assert {answer.status for answer in answers} <= {201, 202}
    answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/blobs/{blob.digest}")
    check_every_answer("GET", answer, "blob")
    assert answer.body == blob.content


def test_first_pushes_to_a_new_project_all_succeed(exam: Exam) -> None:
    project = f"new-{exam.new_repository().rpartition('/')[2]}"
    blob = Blob(random_bytes(1000, 22))
    for same in (True, False):
        answers = together(
            lambda number, same=same: upload(
                exam, f"{project}/{'x' if same else number}-{same}".lower(), blob, number % 3
            )  # type: ignore[misc]
        )
        assert {answer.status for answer in answers} <= {201, 202}


def test_one_manifest_pushed_by_many_is_one_manifest(exam: Exam) -> None:
    name = exam.new_repository(PARTS)

    def push(number: int) -> list[Answer]:
        ask = exam.registry.ask_as_admin
        return [ask("PUT", f"/v2/{name}/manifests/t{number}", TYPED, IMAGE.content) for _ in range(5)]

    assert {answer.status for answer in together(push)} == {201}
    tags = exam.registry.ask_as_admin("GET", f"/v2/{name}/tags/list").json()["tags"]
    assert tags == [f"t{number}" for number in range(CLIENTS)]


def test_reader_of_a_moving_tag_sees_one_or_the_other_whole(exam: Exam) -> None:
    name = exam.new_repository((*PARTS, IMAGE.tagged("moving"), IMAGE_ARM))
    target = f"/v2/{name}/manifests/moving"
    contents = {IMAGE.digest: IMAGE.content, IMAGE_ARM.digest: IMAGE_ARM.content}

    def work(number: int) -> list[Answer]:
        with exam.registry.connect() as wire:
            if number < 2:
                body = (IMAGE, IMAGE_ARM)[number].content
                return [wire.ask("PUT", target, (*exam.registry.admin, *TYPED), body) for _ in range(30)]
            return [wire.ask("GET", target, exam.registry.admin) for _ in range(60)]

    for answer in together(work):
        digest = answer.header("Docker-Content-Digest") or ""
        if answer.status == 200:
            assert contents[digest] == answer.body
        else:
            assert answer.status == 201


def test_reader_sees_a_push_at_once_on_every_worker(exam: Exam) -> None:
    """What an answer promised holds for the next request, whichever process it reaches."""
    name = exam.new_repository(PARTS)
    for round_ in range(20):
        pushed = image(CONFIG.descriptor(OCI_CONFIG), [], annotations={"round": str(round_)})
        exam.push(name, pushed.tagged("latest"))
        for _ in range(4):
            answer = exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest")
            assert answer.body == pushed.content
        assert exam.registry.ask_as_admin("DELETE", f"/v2/{name}/manifests/latest").status == 202
        for _ in range(4):
            assert exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest").status == 404


def test_session_takes_one_body_at_a_time(exam: Exam) -> None:
    name = exam.new_repository()
    ask = exam.registry.ask_as_admin
    location = ask("POST", f"/v2/{name}/blobs/uploads/").header("Location") or ""
    with exam.registry.connect() as wire:
        head = (("Host", wire.host), *exam.registry.admin, ("Content-Length", "10"))
        wire.send(encode_head("PATCH", location, head) + b"12345")
        statuses = {ask("PATCH", location, (("Content-Range", "0-4"),), b"abcde").status for _ in range(5)}
        assert statuses <= {202, 409, 416}
        wire.send(b"67890")
        first = wire.receive("PATCH").status
    assert {first, *statuses} & {202} == {202}
    size = ask("GET", location).header("Range")
    assert size in {"0-9", "0-4"}
    assert ask("DELETE", location).status == 204


def test_deleting_and_pushing_at_once_leaves_whole_manifests(exam: Exam) -> None:
    name = exam.new_repository((*PARTS, IMAGE.tagged("latest")))

    def work(number: int) -> list[Answer]:
        ask = exam.registry.ask_as_admin
        if number % 2:
            return [ask("DELETE", f"/v2/{name}/manifests/{IMAGE.digest}") for _ in range(10)]
        return [ask("PUT", f"/v2/{name}/manifests/latest", TYPED, IMAGE.content) for _ in range(10)]

    assert {answer.status for answer in together(work)} <= {201, 202, 404}
    tagged = exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest")
    by_digest = exam.registry.ask_as_admin("GET", f"/v2/{name}/manifests/{IMAGE.digest}")
    assert tagged.status == by_digest.status
    assert tagged.status == 404 or tagged.body == IMAGE.content


def test_blob_deleted_and_manifest_pushed_at_once_never_miss_each_other(exam: Exam) -> None:
    ask = exam.registry.ask_as_admin
    for _ in range(5):
        name = exam.new_repository(PARTS)
        blob = f"/v2/{name}/blobs/{CONFIG.digest}"

        def work(number: int, name: str = name, blob: str = blob) -> list[Answer]:
            if number % 2:
                return [ask("DELETE", blob)]
            return [ask("PUT", f"/v2/{name}/manifests/t{number}", TYPED, IMAGE.content)]

        assert {answer.status for answer in together(work)} <= {201, 202, 400, 404, 405}
        if ask("GET", f"/v2/{name}/manifests/{IMAGE.digest}").status == 200:
            assert ask("GET", blob).body == CONFIG.content


def test_blob_lost_by_the_disk_is_an_error_of_the_server_and_can_be_pushed_again(
    exam: Exam, homeport_server: HomeportServer
) -> None:
    blob = Blob(random_bytes(700, 23))
    name = exam.new_repository((blob,))
    encoded = blob.digest.partition(":")[2]
    [path] = Path(homeport_server.data / "blobs").rglob(f"{encoded}*")
    path.unlink()
    target = f"/v2/{name}/blobs/{blob.digest}"
    for send in ((), (("Range", "bytes=0-9"),), (("Range", "bytes=0-9,20-29"),)):
        answer = exam.registry.ask_as_admin("GET", target, send)
        assert answer.status == 500
        check_every_answer("GET", answer, str(answer))
        assert answer.codes() == ["UNKNOWN"]
        assert str(homeport_server.data) not in answer.body.decode()
    exam.push(name, blob)
    assert exam.registry.ask_as_admin("GET", target).body == blob.content
