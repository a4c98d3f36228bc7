"""`homeport copy` as a person runs it, with no configuration of the person who runs the tests."""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import clean_environment
from tests.reader import Registry

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Copier:
    """Runs `homeport copy` below one home directory."""

    home: Path

    def attempt(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Return the ended program, whether it failed or not."""
        return subprocess.run(
            [sys.executable, "-m", "homeport", "copy", *map(str, arguments)],
            env=clean_environment(self.home, **environment),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def copy(self, *arguments: str | Path, **environment: str) -> dict[str, Any]:
        """Copy and return the JSON result; fails the test when the copy fails."""
        done = self.attempt("--json", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def log_in(self, *registries: Registry) -> None:
        """Write an auth file with the accounts of the registries, as `docker login` does."""
        auths: dict[str, Mapping[str, str]] = {}
        for registry in registries:
            account = f"{registry.user}:{registry.password}".encode()
            auths[registry.host] = {"auth": base64.b64encode(account).decode()}
        file = self.home / ".docker" / "config.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"auths": auths}))


def blobs(result: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how many blobs were copied, mounted and skipped."""
    return result["copied"]["blobs"], result["mounted"]["blobs"], result["skipped"]["blobs"]
