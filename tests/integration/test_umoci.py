import hashlib
import json
from pathlib import Path

import pytest
from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.programs import require_root
from tests.reader import RegistryReader

pytestmark = pytest.mark.xdist_group("skopeo")


def test_umoci_unpacks_a_real_image_that_was_pulled(
    tools: ContainerTools, repository: str, real_images: ImageSet, tmp_path: Path
) -> None:
    require_root()
    tools.skopeo("copy", f"oci:{real_images.nginx}:1.22-secured", tools.remote(repository))
    tools.skopeo("copy", tools.remote(repository), f"oci:{tmp_path}/pulled:latest")
    bundle = tmp_path / "bundle"
    tools.shell.run("umoci", "unpack", "--image", f"{tmp_path}/pulled:latest", bundle)
    assert "bookworm" in (bundle / "rootfs/etc/os-release").read_text()
    module = (bundle / "rootfs/etc/nginx/conf.d/company-security.conf").read_text()
    assert "X-Company-Security-Module" in module


def test_umoci_stat_sees_the_layers_that_were_pushed(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository))
    tools.skopeo("copy", tools.remote(repository), f"oci:{tmp_path}/pulled:latest")
    stat = json.loads(tools.shell.run("umoci", "stat", "--json", "--image", f"{tmp_path}/pulled:latest"))
    layers = [entry["layer"]["digest"] for entry in stat["history"] if entry["layer"]]
    assert layers == reader.image(repository, "latest").layers


def test_umoci_repacks_a_pulled_image_into_one_that_can_be_pushed(
    tools: ContainerTools, reader: RegistryReader, repository: str, small_images: ImageSet, tmp_path: Path
) -> None:
    require_root()
    tools.skopeo("copy", f"oci:{small_images.nginx}:1.22", tools.remote(repository, "1.22"))
    tools.skopeo("copy", tools.remote(repository, "1.22"), f"oci:{tmp_path}/work:1.22")
    bundle = tmp_path / "bundle"
    tools.shell.run("umoci", "unpack", "--image", f"{tmp_path}/work:1.22", bundle)
    (bundle / "rootfs/opt/module").write_text("in-house\n")
    tools.shell.run("umoci", "repack", "--image", f"{tmp_path}/work:1.22-module", bundle)
    tools.skopeo("copy", f"oci:{tmp_path}/work:1.22-module", tools.remote(repository, "1.22-module"))

    pushed = reader.image(repository, "1.22-module")
    assert pushed.digest == OciLayout(tmp_path / "work").digest("1.22-module")
    assert pushed.layers[:-1] == reader.image(repository, "1.22").layers
    added = reader.blob(repository, pushed.layers[-1])
    assert f"sha256:{hashlib.sha256(added).hexdigest()}" == pushed.layers[-1]
