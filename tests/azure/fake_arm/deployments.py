"""Template deployments: as much of the template language as `az vm create` sends. Our own client uses none of it."""

import copy
import re
from typing import Any

from tests.azure.fake_arm.model import GROUP, SUBSCRIPTION, Arm, Ask, Json, Operation, Refused, Reply, route

DEPLOYMENT = f"{GROUP}/providers/Microsoft.Resources/deployments/{{name}}"


def resource_id(group: str, kind: str, *names: str) -> str:
    provider, *types = kind.split("/")
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(types, names, strict=True))
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{provider}/{pairs}"


def evaluate(value: Any, group: str, parameters: Json, variables: Json) -> Any:
    """The value with its expressions carried out; an expression that is not known here is an error."""
    if isinstance(value, dict):
        return {key: evaluate(item, group, parameters, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, group, parameters, variables) for item in value]
    if not (isinstance(value, str) and value.startswith("[") and value.endswith("]") and not value.startswith("[[")):
        return value
    expression = value[1:-1]
    if found := re.fullmatch(r"(parameters|variables)\('([^']+)'\)", expression):
        table = parameters if found[1] == "parameters" else variables
        return evaluate(table[found[2]], group, parameters, variables)
    if found := re.fullmatch(r"resourceId\((.*)\)", expression):
        return resource_id(group, *re.findall(r"'([^']*)'", found[1]))
    raise Refused(400, "InvalidTemplate", f"The fake does not know the expression {value}")


@route("PUT", DEPLOYMENT)
def put(arm: Arm, ask: Ask) -> Reply:
    arm.need_group(ask.path)
    group = ask.parts["group"]
    template = ask.body["properties"]["template"]
    given = {key: item.get("value") for key, item in (ask.body["properties"].get("parameters") or {}).items()}
    defaults = {key: item.get("defaultValue") for key, item in template.get("parameters", {}).items()}
    parameters = defaults | given
    operations = [
        operation
        for item in _in_order(template["resources"])
        if (operation := _create(arm, ask, group, evaluate(item, group, parameters, template.get("variables", {}))))
    ]
    deployment: Json = {
        "id": ask.path,
        "name": ask.parts["name"],
        "type": "Microsoft.Resources/deployments",
        "properties": {"provisioningState": "Accepted", "correlationId": "0", "mode": "Incremental", "outputs": {}},
    }
    arm.resources[ask.path.lower()] = deployment

    def finish() -> None:
        errors = [operation.error for operation in operations if operation.error]
        deployment["properties"]["provisioningState"] = "Failed" if errors else "Succeeded"
        if errors:
            raise Refused(409, "DeploymentFailed", str(errors[0]))

    where = f"resourcegroups/{group}/providers/Microsoft.Resources/deployments/{ask.parts['name']}/operationStatuses"
    headers = arm.begin(ask, where, finish, settled=lambda: all(item.status != "InProgress" for item in operations))
    return Reply(201, deployment, headers)


def _in_order(resources: list[Json]) -> list[Json]:
    """Those that others depend on first."""
    left, done = list(resources), list[Json]()
    while left:
        ready = [item for item in left if not any(_names(item, other) for other in left if other is not item)]
        if not ready:
            raise Refused(400, "InvalidTemplate", "The resources depend on each other in a circle.")
        done += ready
        left = [item for item in left if item not in ready]
    return done


def _names(item: Json, other: Json) -> bool:
    return any(str(need).lower() == f"{other['type']}/{other['name']}".lower() for need in item.get("dependsOn", []))


def _create(arm: Arm, ask: Ask, group: str, item: Json) -> Operation | None:
    path = resource_id(group, item["type"], *item["name"].split("/"))
    body = {key: copy.deepcopy(value) for key, value in item.items() if key not in ("type", "name", "dependsOn")}
    before = set(arm.operations)
    inner = Ask("PUT", path, {"api-version": body.pop("apiVersion")}, body, ask.base)
    arm.answer(inner)
    new = [arm.operations[name] for name in arm.operations if name not in before]
    return new[0] if new else None


@route("GET", DEPLOYMENT)
def get(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, arm.need(ask.path))


@route("POST", DEPLOYMENT + "/validate")
def validate(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, {"properties": {"provisioningState": "Succeeded"}})
