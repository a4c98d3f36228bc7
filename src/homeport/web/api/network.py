"""Network lists, beyond Harbor: `/network-rules` and `/projects/{project}/network-rules`."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from homeport.control.errors import NotFoundError
from homeport.control.network import NetworkLists
from homeport.db.network_rules import StoredNetworkRule
from homeport.db.repositories import find_project_facts
from homeport.rules.network import NetworkOperation
from homeport.rules.permissions import ProjectFacts
from homeport.web.api.conventions import ApiCaller, CallerParameter, ServicesParameter, set_location
from homeport.web.api.services import Services

router = APIRouter()

_READ, _WRITE = "configuration:read", "configuration:update"


class NetworkRuleRequest(BaseModel):
    """A network that is to be added to a list."""

    model_config = ConfigDict(extra="forbid")

    operation: Literal["pull", "push", "management"]
    network: str = Field(max_length=64)


class NetworkRuleAnswer(BaseModel):
    """A network of a list."""

    id: int
    operation: str
    network: str
    creation_time: str


class ProjectNetworkRuleRequest(NetworkRuleRequest):
    """A network for a list of a project; management is the system's alone."""

    operation: Literal["pull", "push"]


@router.get("/network-rules")
async def list_system_rules(caller: CallerParameter, services: ServicesParameter) -> list[NetworkRuleAnswer]:
    """List the networks that requests may come from, for the whole system."""
    caller.require_in_system(_READ)
    return [_answer(rule) for rule in await NetworkLists(services.database).rules(None)]


@router.post("/network-rules", status_code=201)
async def add_system_rule(
    body: NetworkRuleRequest,
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
) -> None:
    """Add a network to a list of the whole system."""
    caller.require_in_system(_WRITE)
    lists = NetworkLists(services.database)
    rule_id = await lists.add(caller.actor, None, NetworkOperation(body.operation), body.network)
    set_location(request, response, rule_id)


@router.delete("/network-rules/{rule_id}")
async def delete_system_rule(rule_id: int, caller: CallerParameter, services: ServicesParameter) -> None:
    """Take a network out of a list of the whole system."""
    caller.require_in_system(_WRITE)
    await NetworkLists(services.database).remove(caller.actor, None, rule_id)


@router.get("/projects/{project_name}/network-rules")
async def list_project_rules(
    project_name: str, caller: CallerParameter, services: ServicesParameter
) -> list[NetworkRuleAnswer]:
    """List the networks that pulls and pushes of the project may come from."""
    project = await _require(services, caller, project_name, _READ)
    return [_answer(rule) for rule in await NetworkLists(services.database).rules(project)]


@router.post("/projects/{project_name}/network-rules", status_code=201)
async def add_project_rule(
    project_name: str,
    body: ProjectNetworkRuleRequest,
    request: Request,
    response: Response,
    caller: CallerParameter,
    services: ServicesParameter,
) -> None:
    """Add a network to a list of the project."""
    project = await _require(services, caller, project_name, _WRITE)
    lists = NetworkLists(services.database)
    rule_id = await lists.add(caller.actor, project, NetworkOperation(body.operation), body.network)
    set_location(request, response, rule_id)


@router.delete("/projects/{project_name}/network-rules/{rule_id}")
async def delete_project_rule(
    project_name: str, rule_id: int, caller: CallerParameter, services: ServicesParameter
) -> None:
    """Take a network out of a list of the project."""
    project = await _require(services, caller, project_name, _WRITE)
    await NetworkLists(services.database).remove(caller.actor, project, rule_id)


async def _require(services: Services, caller: ApiCaller, name: str, permission: str) -> ProjectFacts:
    found = await services.database.read(find_project_facts, [name])
    project = found.get(name)
    caller.require_in_project(project, permission)
    if project is None:
        raise NotFoundError(f"there is no project {name}")
    return project


def _answer(rule: StoredNetworkRule) -> NetworkRuleAnswer:
    return NetworkRuleAnswer(
        id=rule.id, operation=rule.operation, network=rule.network, creation_time=rule.created_at.isoformat()
    )
