from pathlib import Path

from tests.images import ImageSet, OciLayout
from tests.integration.containers import ContainerTools
from tests.reader import RegistryReader
from tests.servers import HomeportServer


def test_server_on_postgresql_serves_images_before_and_after_a_restart(
    homeport_postgres_server: HomeportServer, small_images: ImageSet, repository: str, tmp_path: Path
) -> None:
    server, layout = homeport_postgres_server, OciLayout(small_images.nginx)
    tools = ContainerTools(tmp_path / "tools", server.registry).prepare()
    reader = RegistryReader(server.registry)
    for tag in ("multi", "1.22"):
        tools.skopeo("copy", "--all", f"oci:{small_images.nginx}:{tag}", tools.remote(repository, tag))
    server.stop()
    assert not (server.data / "homeport.db").exists()
    server.start()
    assert reader.tags(repository) == ["1.22", "multi"]
    for tag in ("multi", "1.22"):
        image = reader.image(repository, tag)
        assert image.digest == layout.digest(tag)
        assert image.content == layout.content(image.digest)

    tools.skopeo("delete", tools.remote(repository, "1.22"))
    assert reader.tags(repository) == ["multi"]
    assert reader.image(repository, "multi").content == layout.content(layout.digest("multi"))
