"""Search and statistics over HTTP."""

from tests.api.client import Api
from tests.api.projects.house import GUEST, fresh, make_project, push_image
from tests.api.users.accounts import make_user


def test_search_finds_what_the_caller_may_see(admin: Api, stranger: Api) -> None:
    private, public = make_project(admin), make_project(admin, public=True)
    for project in (private, public):
        push_image(admin, f"{project.name}/app", fresh(), fresh())
    member = private.make_member(GUEST).api

    for api, sees_private in (
        (admin, True),
        (member, True),
        (stranger, False),
        (make_user(admin).api, False),
    ):
        found = api.get(f"/search?q={private.name[-8:]}").json
        assert [each["name"] for each in found["project"]] == ([private.name] if sees_private else [])
        assert len(found["repository"]) == int(sees_private)
        assert len(api.get(f"/search?q={public.name}").json["repository"]) == 1
    repository = stranger.get(f"/search?q={public.name}/app").json["repository"]
    assert repository == [
        {
            "project_id": public.id,
            "project_name": public.name,
            "project_public": True,
            "repository_name": f"{public.name}/app",
            "pull_count": 0,
            "artifact_count": 1,
        }
    ]
    assert stranger.get("/search").status == 422
    assert stranger.get("/search?q=%25").json == {"project": [], "repository": []}
    assert stranger.get("/search?q=").status == 200


def test_statistics_count_what_the_caller_sees(admin: Api, stranger: Api) -> None:
    private = make_project(admin)
    push_image(admin, f"{private.name}/app", fresh(), fresh())
    member = private.make_member(GUEST).api

    seen = member.get("/statistics").json
    assert (seen["private_project_count"], seen["private_repo_count"]) == (1, 1)
    assert (seen["total_project_count"], seen["total_storage_consumption"]) == (0, 0)
    outside = make_user(admin).api.get("/statistics").json
    assert (outside["private_project_count"], outside["private_repo_count"]) == (0, 0)
    everything = admin.get("/statistics").json
    assert everything["total_project_count"] >= 2
    assert everything["total_storage_consumption"] > 0
    assert stranger.get("/statistics").status == 401
