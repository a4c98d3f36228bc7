"""The same answers with PostgreSQL behind, above all where it is stricter: NUL, order, long texts."""

from collections.abc import Iterator

import pytest
from tests.conformance.conftest import registry_of
from tests.conformance.content import EMPTY_JSON, IMAGE, IMAGE_SEED, OCI_EMPTY, image
from tests.conformance.manifest_steps import found, push
from tests.conformance.table import Case, Exam, case
from tests.conformance.test_blobs import DELETIONS as BLOB_DELETIONS
from tests.conformance.test_lists import TAGS
from tests.conformance.test_manifests import DELETIONS as MANIFEST_DELETIONS
from tests.conformance.test_manifests import TAGS as TAG_PARAMETERS
from tests.conformance.test_mounts import MOUNTS
from tests.conformance.test_referrers import FALLBACKS, ROWS, listed, shown
from tests.conformance.tokens import FORM, TARGET, TokenClient
from tests.conformance.wire import basic
from tests.postgresql import PostgresCluster
from tests.servers import HomeportServer

pytestmark = pytest.mark.xdist_group("postgresql")

ODD = "\u4e2d\u6587 '\"\\%_\U0001f433"
NOTES = {ODD: ODD, "nul": "a\0b", "long": "x" * 100_000}
ODD_TYPE = "application/" + "x" * 3000
REFERRER = image(
    EMPTY_JSON.descriptor(OCI_EMPTY), [], artifactType=ODD_TYPE, subject=IMAGE.descriptor(), annotations=NOTES
)


@pytest.fixture(scope="module")
def database_exam(
    postgres_cluster: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exam]:
    """Return what runs rows against a registry whose metadata is in PostgreSQL."""
    directory = tmp_path_factory.mktemp("on-postgresql")
    server = HomeportServer(directory, "--database-url", postgres_cluster.create_database())
    try:
        yield Exam(registry_of(server.start()))
    finally:
        server.stop()


SAME = [*TAGS, *ROWS, *FALLBACKS, *MOUNTS, *TAG_PARAMETERS, *MANIFEST_DELETIONS, *BLOB_DELETIONS]


@pytest.mark.parametrize("row", SAME, ids=lambda row: row.about)
def test_row_is_the_same_on_postgresql(database_exam: Exam, row: Case) -> None:
    database_exam.run(row)


def test_odd_texts_of_a_manifest_are_kept(database_exam: Exam) -> None:
    database_exam.run(
        case(
            "odd texts",
            push(REFERRER, "odd", OCI_Subject=IMAGE.digest),
            *found(REFERRER, "odd"),
            listed(IMAGE.digest, "", shown(REFERRER, ODD_TYPE, NOTES)),
            seed=(*IMAGE_SEED, EMPTY_JSON),
        )
    )


NUL = "a\0b"


def test_nul_in_credentials_is_a_wrong_password(database_exam: Exam) -> None:
    registry = database_exam.registry
    for user, password in ((NUL, "x"), ("admin", NUL), ("admin\0", registry.password)):
        send = (("Authorization", basic(user, password)),)
        for target in ("/v2/", TARGET):
            assert registry.ask("GET", target, send).status == 401
    assert registry.ask_as_admin("GET", "/v2/").status == 200


@pytest.mark.parametrize("name", ["username", "password", "client_id", "scope", "refresh_token", "service"])
def test_nul_in_a_form_is_refused(database_exam: Exam, name: str) -> None:
    registry = database_exam.registry
    fields = {"grant_type": "password", "username": registry.user, "password": registry.password}
    answer = TokenClient(registry).post(({"access_type": "offline"} | fields | {name: NUL}).items(), FORM)
    assert answer.status == 400


@pytest.mark.parametrize("text", [ODD, "x" * 255, "x" * 256, "x" * 5000])
def test_odd_client_is_given_its_tokens(database_exam: Exam, text: str) -> None:
    client = TokenClient(database_exam.registry)
    answer = client.get(
        [("offline_token", "true"), ("client_id", text), ("service", text), ("account", text)]
    )
    assert answer.status == 200
    refresh = answer.json()["refresh_token"]
    again = client.post([("grant_type", "refresh_token"), ("client_id", text), ("refresh_token", refresh)])
    assert again.status == 200


def test_long_names_of_requests_are_recorded(database_exam: Exam) -> None:
    registry = database_exam.registry
    send = (("User-Agent", "x" * 5000 + "\u00e4"), ("X-Request-Id", "y" * 64))
    name = database_exam.shared_repository(IMAGE_SEED)
    assert registry.ask_as_admin("GET", f"/v2/{name}/manifests/latest", send).status == 200
    wrong = (("Authorization", basic("z" * 5000, "x")), *send)
    assert registry.ask("GET", "/v2/", wrong).status == 401
