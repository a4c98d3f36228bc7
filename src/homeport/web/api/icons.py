"""`/icons`: the icon of each type of artifact."""

from base64 import b64encode
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from homeport.control.errors import NotFoundError
from homeport.oci.digest import parse_digest
from homeport.rules.artifact_icon import ICON_TYPE, ICONS

router = APIRouter(tags=["icon"])


class IconAnswer(BaseModel):
    """An icon, encoded in base64."""

    model_config = ConfigDict(populate_by_name=True)

    content_type: Annotated[str, Field(serialization_alias="content-type")]
    content: str


@router.get("/icons/{digest}")
async def get_icon(digest: Annotated[str, Path(max_length=256)]) -> IconAnswer:
    """Return the icon with the digest that artifacts and accessories show; everybody may see it."""
    content = ICONS.get(str(parse_digest(digest)))
    if content is None:
        raise NotFoundError(f"there is no icon {digest}")
    return IconAnswer(content_type=ICON_TYPE, content=b64encode(content).decode())
