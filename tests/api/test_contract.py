"""Harbor's own description of its API against the server: no 500, no answer of an undocumented shape."""

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import HomeportServer

from homeport.web.api.operations import OPERATIONS
from homeport.web.api.routers import built_routers, unbuilt_operations

SWAGGER = Path(__file__).parent.parent / "facts" / "harbor-api-v2.0-swagger.yaml.gz"
# what would end the run itself: the administrator's own account and the server's modes
DANGEROUS = {"deleteUser", "updateConfigurations", "setUserSysAdmin", "updateUserPassword"}
# answers 501 by itself
REFUSED = {"getVulnerabilitiesAddition"}
MAX_EXAMPLES = "200" if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else "5"


@pytest.mark.timeout(3600 if MAX_EXAMPLES == "200" else 300)
def test_answers_have_the_documented_shapes(tmp_path: Path) -> None:
    description = tmp_path / "harbor.yaml"
    description.write_bytes(gzip.decompress(SWAGGER.read_bytes()))
    unbuilt = {operation.id for operation in unbuilt_operations(built_routers())}
    excluded = [
        word for name in sorted(unbuilt | DANGEROUS | REFUSED) for word in ("--exclude-operation-id", name)
    ]
    server = HomeportServer(tmp_path / "server", workers=2)
    try:
        server.start()
        run = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                "run",
                str(description),
                f"--url={server.url}/api/v2.0",
                f"--auth={server.user}:{server.password}",
                "--checks=not_a_server_error,response_schema_conformance",
                "--phases=fuzzing",
                f"--max-examples={MAX_EXAMPLES}",
                "--seed=1",
                "--workers=2",
                "--request-timeout=20",
                *excluded,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    finally:
        server.stop()

    failures = run.stdout.partition("= FAILURES =")[2].partition("= WARNINGS =")[0]
    assert "SUMMARY" in run.stdout, run.stdout[-2000:] + run.stderr[-2000:]
    # an honest 501 for a part that is not built is the only "server error"
    assert set(re.findall(r"- (ST\d+) ", failures)) <= {"ST101"}, failures[:4000]
    assert set(re.findall(r"\[(\d{3})\] ", failures)) <= {"501"}, failures[:4000]
    assert "request_failed" not in server.output


def test_table_of_operations_is_the_description() -> None:
    text = gzip.decompress(SWAGGER.read_bytes()).decode()

    assert text.count("operationId:") == len(OPERATIONS) == 203
    assert all(f"operationId: {operation.id}\n" in text for operation in OPERATIONS)
