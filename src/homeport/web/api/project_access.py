"""The project that a path names, by name or id, when the caller may do there what it asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from homeport.control.errors import NotFoundError
from homeport.db.projects import StoredProject, find_project
from homeport.rules.permissions import (
    Principal,
    may_in_project,
    may_in_system,
    may_somewhere_in_project,
)
from homeport.web.api.conventions import ApiCaller, CallerParameter, ServicesParameter, is_resource_name

# of texts that go to the database; PostgreSQL knows no NUL
NO_NUL = r"^[^\x00]*$"

_READ = ".:read"
_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True)
class NamedProject:
    """The project of `{project_name_or_id}` as the caller meets it."""

    caller: ApiCaller
    text: str
    found: StoredProject | None

    def require(self, permission: str = _READ) -> StoredProject:
        """Return the project when the caller has the permission in it.

        Raises as `ApiCaller.require_in_project` does, and NotFoundError to those who may do everything in
        every project. Whoever may read some of its repositories may read the project.
        """
        project = self.found
        facts = None if project is None else project.facts
        principal = self.caller.principal
        if permission == _READ and may_see(principal, project):
            allowed = True
        else:
            allowed = may_in_project(principal, facts, permission)
        if not allowed:
            self.caller.require_in_project(facts, permission)
        if project is None:
            raise NotFoundError(f"project {self.text[:255]} not found")
        return project


def may_see(principal: Principal, project: StoredProject | None) -> bool:
    """Tell whether the principal sees the project, as lists show it."""
    if project is None:
        return principal.is_sysadmin
    return may_somewhere_in_project(principal, project.facts, _READ) or may_in_system(
        principal, "project:list"
    )


def project_key(request: Request, text: str) -> int | str:
    """Return an id when the text is a number, unless the request says that it is a name all the same.

    What can be neither becomes 0, an id that no project has.
    """
    if "\0" in text:
        return 0
    if text.isascii() and text.isdigit() and not is_resource_name(request):
        return int(text) if len(text) <= _MAX_DIGITS else 0
    return text


async def get_named_project(
    project_name_or_id: Annotated[str, Path()],
    request: Request,
    caller: CallerParameter,
    services: ServicesParameter,
) -> NamedProject:
    """Return the project that the path names, found or not."""
    found = await services.database.read(find_project, project_key(request, project_name_or_id))
    return NamedProject(caller, project_name_or_id, found)


NamedProjectParameter = Annotated[NamedProject, Depends(get_named_project)]
