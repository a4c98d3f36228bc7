"""What the control plane denies is in the audit: who, what and where."""

import json
import subprocess
import sys

from tests.api.artifacts.content import unique
from tests.api.client import Api
from tests.api.users.accounts import make_user
from tests.servers import HomeportServer


def denials(server: HomeportServer, name: str) -> list[tuple[str | None, str]]:
    """Return project and request of every denial of the account."""
    command = [sys.executable, "-m", "homeport", "audit", "--json", "--data", str(server.data)]
    done = subprocess.run(
        [*command, "--operation", "denial", "--principal", name], capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [(row.get("project"), row["reference"]) for row in rows]


def test_denials_of_the_control_plane_are_recorded(admin: Api, homeport_server: HomeportServer) -> None:
    project = unique("denied")
    admin.post("/projects", {"project_name": project})
    user = make_user(admin)

    assert user.api.delete(f"/projects/{project}").status == 403
    assert user.api.get("/users?page=1").status == 403
    assert user.api.get("/projects/%00%ff/members").status in {400, 403, 404}

    found = denials(homeport_server, user.name)
    assert (project, f"DELETE /api/v2.0/projects/{project}") in found
    assert (None, "GET /api/v2.0/users") in found
