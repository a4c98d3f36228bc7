import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.client import Api
from tests.images import ImageSet
from tests.integration.containers import ContainerTools
from tests.issuer import Issuer
from tests.servers import HomeportServer

pytestmark = pytest.mark.xdist_group("podman")


@pytest.fixture
def robot_server(tmp_path: Path) -> Iterator[HomeportServer]:
    """Run a server that asks token issuers on this machine."""
    environment = {"HOMEPORT_WORKLOAD_NETWORKS": "127.0.0.0/8", "HOMEPORT_WORKLOAD_HTTP": "true"}
    server = HomeportServer(tmp_path / "homeport", environment=environment)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def robot_tools(tmp_path: Path, robot_server: HomeportServer) -> ContainerTools:
    """Return skopeo and podman, not logged in."""
    tools = ContainerTools(tmp_path / "tools", robot_server.registry).prepare()
    tools.log_out()
    return tools


@pytest.fixture
def admin(robot_server: HomeportServer) -> Api:
    """Return the system administrator."""
    return Api(robot_server.url, robot_server.user, robot_server.password)


def make_robot(admin: Api, level: str) -> tuple[int, str, str]:
    """Make a robot that pulls and pushes in the project library; return its id, name and secret."""
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    created = admin.post(
        "/robots",
        {
            "name": f"ci-{secrets.token_hex(4)}",
            "level": level,
            "duration": 1,
            "permissions": [{"kind": "project", "namespace": "library", "access": access}],
        },
    ).json
    return created["id"], created["name"], created["secret"]


@pytest.mark.parametrize("level", ["system", "project"])
@pytest.mark.parametrize("program", ["skopeo", "podman"])
def test_robot_logs_in_pushes_and_pulls(
    robot_tools: ContainerTools, admin: Api, small_images: ImageSet, level: str, program: str
) -> None:
    _, name, secret = make_robot(admin, level)
    assert ("+" in name) == (level == "project")
    login = ("login", "--username", name, "--password-stdin", robot_tools.registry.host)

    if program == "podman":
        assert "Login Succeeded" in robot_tools.podman(*login, stdin=secret)
    else:
        assert "Login Succeeded" in robot_tools.shell.run("skopeo", *login, stdin=secret)

    target = robot_tools.remote(f"library/robot-{secrets.token_hex(4)}", "1.22")
    robot_tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", target)
    assert '"Digest"' in robot_tools.skopeo("inspect", target)
    elsewhere = robot_tools.remote("other/image", "1")
    assert robot_tools.shell.attempt("skopeo", "copy", f"oci:{small_images.nginx}:1.22", elsewhere).returncode


def test_workload_logs_in_with_its_identity_token_and_pushes(
    robot_tools: ContainerTools, admin: Api, small_images: ImageSet
) -> None:
    robot_id, name, _ = make_robot(admin, "project")
    with Issuer() as issuer:
        rule = {"issuer": issuer.url, "audience": "homeport", "claims": {"sub": "repo:acme/shop:ref:*/**"}}
        assert admin.post(f"/robots/{robot_id}/trusts", rule).status == 201
        login = ("login", "--username", name, "--password-stdin", robot_tools.registry.host)
        assert "Login Succeeded" in robot_tools.shell.run("skopeo", *login, stdin=issuer.token())

        target = robot_tools.remote(f"library/workload-{secrets.token_hex(4)}", "1.22")
        robot_tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", target)

        elsewhere = issuer.token({"sub": "repo:acme/other:ref:refs/heads/main"})
        assert robot_tools.shell.attempt("skopeo", *login, stdin=elsewhere).returncode
