import hashlib
from pathlib import Path

import pytest
from tests.integration.helm import Helm
from tests.reader import Registry, RegistryReader

pytestmark = pytest.mark.xdist_group("helm")

CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CONFIG = "application/vnd.cncf.helm.config.v1+json"


@pytest.fixture
def helm(tmp_path: Path, registry: Registry) -> Helm:
    helm = Helm(tmp_path / "helm", registry)
    helm.log_in()
    return helm


def test_helm_pushes_and_pulls_a_chart(helm: Helm, reader: RegistryReader, repository: str) -> None:
    chart = helm.package("greeter", "1.2.3")
    helm.run("push", *helm.trust, chart, f"oci://{helm.registry.host}/{repository}")
    pushed = reader.image(f"{repository}/greeter", "1.2.3")
    assert pushed.body["config"]["mediaType"] == CONFIG
    assert [layer["mediaType"] for layer in pushed.body["layers"]] == [CHART]
    assert pushed.layers == [f"sha256:{hashlib.sha256(chart.read_bytes()).hexdigest()}"]

    target = helm.shell.directory / "pulled"
    target.mkdir()
    helm.run("pull", *helm.trust, f"oci://{helm.registry.host}/{repository}/greeter", "--destination", target)
    assert (target / "greeter-1.2.3.tgz").read_bytes() == chart.read_bytes()


def test_helm_resolves_a_version_range_to_the_newest_tag(helm: Helm, repository: str) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        chart = helm.package("greeter", version)
        helm.run("push", *helm.trust, chart, f"oci://{helm.registry.host}/{repository}")
    shown = helm.run(
        "show", "chart", *helm.trust, "--version", "^1", f"oci://{helm.registry.host}/{repository}/greeter"
    )
    assert "version: 1.1.0" in shown.splitlines()


def test_helm_renders_a_chart_out_of_the_registry(helm: Helm, repository: str) -> None:
    helm.run(
        "push", *helm.trust, helm.package("greeter", "1.0.0"), f"oci://{helm.registry.host}/{repository}"
    )
    rendered = helm.run(
        *("template", "demo", *helm.trust, "--set", "image.repository=nginx"),
        f"oci://{helm.registry.host}/{repository}/greeter",
    )
    assert "name: demo-greeter" in rendered
    assert 'image: "nginx:' in rendered


def test_helm_logout_forgets_the_account(helm: Helm, reader: RegistryReader, repository: str) -> None:
    chart = helm.package("greeter", "1.0.0")
    helm.run("registry", "logout", helm.registry.host)
    denied = helm.shell.attempt(
        helm.program, "push", *helm.trust, chart, f"oci://{helm.registry.host}/{repository}"
    )
    assert denied.returncode != 0
    assert reader.status(f"/v2/{repository}/greeter/manifests/1.0.0") == 404
