"""Guessing passwords, on a server of its own: failures of the tests' address slow other tests down."""

import time
from collections.abc import Iterator

import pytest
from tests.api.client import Api
from tests.api.users.accounts import PASSWORD, make_user, post_login, records_of, unique
from tests.servers import HomeportServer

WRONG = "Wrong-Passw0rd"
MAX_GUESSES = 15
LONG_WAIT_S = 7


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportServer]:
    """Run a server behind a proxy at 127.0.0.1, so that each test can come from an address of its own."""
    directory = tmp_path_factory.mktemp("guessing")
    environment = {"HOMEPORT_TRUSTED_PROXIES": "127.0.0.1/32"}
    server = HomeportServer(directory, environment=environment, workers=2)
    yield server.start()
    server.stop()


@pytest.fixture
def admin(server: HomeportServer) -> Api:
    """Return the system administrator."""
    return Api(server.url, server.user, server.password)


def test_unknown_name_and_wrong_password_look_the_same(admin: Api) -> None:
    wrong = post_login(admin, make_user(admin).name, WRONG, x_forwarded_for="192.0.2.1")
    unknown = post_login(admin, unique(), WRONG, x_forwarded_for="192.0.2.1")

    assert (wrong.status, wrong.body) == (unknown.status, unknown.body)
    assert wrong.status == 401
    assert wrong.headers["set-cookie"] is None


def test_unknown_name_takes_as_long_as_a_wrong_password(admin: Api) -> None:
    def measure(name: str) -> float:
        started = time.perf_counter()
        post_login(admin, name, WRONG, x_forwarded_for="192.0.2.2")
        return time.perf_counter() - started

    known = min(measure(make_user(admin).name) for _ in range(5))
    unknown = min(measure(unique()) for _ in range(5))

    assert 0.2 < unknown / known < 5


def test_guessing_is_slowed_down_here_as_everywhere(admin: Api, server: HomeportServer) -> None:
    user = make_user(admin)
    address = "192.0.2.3"

    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < MAX_GUESSES:
        statuses.append(post_login(admin, user.name, WRONG, x_forwarded_for=address).status)

    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    # later failures make the wait longer than a slow machine takes for a request
    deadline = time.monotonic() + 60
    retry_after_s = 0
    while retry_after_s < LONG_WAIT_S and time.monotonic() < deadline:
        slowed = post_login(admin, user.name, WRONG, x_forwarded_for=address)
        retry_after_s = int(slowed.headers["retry-after"] or 0)
        time.sleep(0.2)
    right = post_login(admin, user.name, PASSWORD, x_forwarded_for=address)
    assert right.status == 429
    assert int(right.headers["retry-after"]) >= 1
    basic = user.api.with_headers(x_forwarded_for=address)
    assert basic.get("/users/current").status == 429
    outcomes = [each.outcome for each in records_of(server.data, user.name, "login_user")]
    # one per worker and minute, or a client that does not wait could fill the audit
    assert 1 <= outcomes.count("slowed_down") <= 4


def test_wrong_old_passwords_are_slowed_down_too(admin: Api) -> None:
    user = make_user(admin)
    api = user.api.with_headers(x_forwarded_for="192.0.2.4")
    body = {"old_password": WRONG, "new_password": "Another-Passw0rd"}

    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < MAX_GUESSES:
        statuses.append(api.put(f"/users/{user.id}/password", body).status)

    assert statuses[:5] == [403] * 5
    assert statuses[-1] == 429
