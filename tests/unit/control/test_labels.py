import pytest
from tests.unit.control.house import ACTOR, ControlHouse
from tests.unit.control.test_members import make_project

from homeport.control.errors import BadRequestError, ConflictError, NotFoundError
from homeport.control.labels import Labels
from homeport.control.projects import Projects
from homeport.db.labels import LabelText
from homeport.rules.listing import ListQuery

pytestmark = pytest.mark.anyio


async def test_names_are_taken_once_per_project_and_once_globally(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    labels = Labels(house.database)
    one = await make_project(house, root, "one")
    two = await make_project(house, root, "two")
    wanted = LabelText("stable", "d", "#00ff00")
    for owner in (None, one.id, two.id):
        await labels.add(ACTOR, owner, wanted)
        with pytest.raises(ConflictError):
            await labels.add(ACTOR, owner, wanted)
    other = await labels.add(ACTOR, None, LabelText("other", "", ""))

    with pytest.raises(ConflictError):
        await labels.change(ACTOR, other, wanted)

    await labels.change(ACTOR, other, LabelText("another", "x", "red"))
    rows, total = await labels.list(None, ListQuery(), "STAB")
    assert ([row.text for row in rows], total) == ([wanted], 1)
    await labels.delete(ACTOR, other)
    assert await labels.find(other) is None
    with pytest.raises(NotFoundError):
        await labels.delete(ACTOR, other)


async def test_labels_go_with_their_project(house: ControlHouse) -> None:
    root = await house.add("root", is_sysadmin=True)
    labels = Labels(house.database)
    project = await make_project(house, root)
    label_id = await labels.add(ACTOR, project.id, LabelText("stable", "", ""))

    await Projects(house.database).delete(ACTOR, project.id)

    assert await labels.find(label_id) is None
    with pytest.raises(NotFoundError):
        await labels.add(ACTOR, project.id, LabelText("stable", "", ""))


@pytest.mark.parametrize(
    "wanted",
    [
        LabelText("", "", ""),
        LabelText(" ", "", ""),
        LabelText("x" * 129, "", ""),
        LabelText("a\tb", "", ""),
        LabelText("a", "\0", ""),
        LabelText("a", "", "#12"),
        LabelText("a", "", "javascript:alert(1)"),
    ],
)
async def test_impossible_labels_are_refused(house: ControlHouse, wanted: LabelText) -> None:
    with pytest.raises(BadRequestError):
        await Labels(house.database).add(ACTOR, None, wanted)
