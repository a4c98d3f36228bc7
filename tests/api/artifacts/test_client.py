"""The independent client harborapi drives repositories and artifacts."""

from urllib.parse import unquote

import pytest
from harborapi import HarborAsyncClient
from harborapi.models import Label, Repository, Tag
from tests.api.artifacts.content import House, make_image, make_index, make_referrer, push, unique
from tests.api.client import Api
from tests.servers import HomeportServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(homeport_server: HomeportServer) -> HarborAsyncClient:
    """Return the client, signed in as the administrator."""
    return HarborAsyncClient(
        url=f"{homeport_server.url}/api/v2.0",
        username=homeport_server.user,
        secret=homeport_server.password,
    )


async def test_client_works_with_artifacts_from_push_to_delete(
    client: HarborAsyncClient, admin: Api, house: House
) -> None:
    project, name = unique("project"), "team/app"
    repository = f"{project}/{name}"
    image = make_image()
    push(admin, repository, image)
    index = make_index(image, platforms=({"architecture": "amd64", "os": "linux"},))
    push(admin, repository, index, "v1")
    push(admin, repository, make_referrer(index, "application/vnd.cncf.notary.signature"))
    label_id = house.add_label(unique("label"), project)

    found = await client.get_repository(project, name)
    assert (found.name, found.artifact_count) == (repository, 1)
    await client.update_repository(project, name, Repository(description="new"))
    assert [one.description for one in await client.get_repositories(project)] == ["new"]

    await client.create_artifact_tag(project, name, "v1", Tag(name="stable"))
    await client.add_artifact_label(project, name, "v1", Label(id=label_id))
    artifacts = await client.get_artifacts(project, name, with_accessories=True, with_label=True)
    assert [artifact.digest for artifact in artifacts] == [index.digest]
    [artifact] = artifacts
    assert artifact.references is not None
    assert artifact.references[0].child_digest == image.digest
    assert artifact.labels is not None
    assert [label.id for label in artifact.labels] == [label_id]
    tags = await client.get_artifact_tags(project, name, "v1")
    assert {tag.name for tag in tags} == {"v1", "stable"}
    accessories = await client.get_artifact_accessories(project, name, "v1")
    assert [accessory.type for accessory in accessories] == ["signature.notation"]
    history = await client.get_artifact_build_history(project, name, image.digest)
    assert len(history) == 1

    location = await client.copy_artifact("library", f"{project}-copy", f"{repository}@{index.digest}")
    assert unquote(location).endswith(f"/artifacts/{index.digest}")
    copied = await client.get_artifact("library", f"{project}-copy", "stable")
    assert copied.digest == index.digest

    await client.delete_artifact_label(project, name, "v1", label_id)
    await client.delete_artifact_tag(project, name, "v1", "stable")
    await client.delete_artifact(project, name, "v1")
    assert await client.get_artifacts(project, name) == []
    await client.delete_repository(project, name)
    assert await client.get_repositories(project) == []
