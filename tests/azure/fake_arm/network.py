"""Microsoft.Network: security groups, virtual networks, public addresses, interfaces."""

import copy

from tests.azure.fake_arm.model import GROUP, NETWORK, Arm, Ask, Json, Refused, Reply, route

KINDS = ("networkSecurityGroups", "virtualNetworks", "publicIPAddresses", "networkInterfaces")


def _kind(ask: Ask) -> str:
    wanted = ask.parts["kind"].lower()
    for kind in KINDS:
        if kind.lower() == wanted:
            return kind
    raise Refused(404, "InvalidResourceType", f"The fake has no Microsoft.Network/{ask.parts['kind']}")


@route("PUT", f"{GROUP}/{NETWORK}/{{kind}}/{{name}}")
def put(arm: Arm, ask: Ask) -> Reply:
    kind = _kind(ask)
    properties = copy.deepcopy(ask.body.get("properties", {}))
    _PREPARE[kind](arm, ask, properties)
    properties["provisioningState"] = "Updating"
    more = {"sku": {"tier": "Regional", **ask.body["sku"]}} if "sku" in ask.body else {}
    resource, new = arm.store(ask, f"Microsoft.Network/{kind}", properties, etag='W/"1"', **more)
    headers = arm.begin(ask, f"{NETWORK}/locations/{resource['location']}/operations", arm.succeed(resource))
    return Reply(201 if new else 200, resource, headers)


def _security_group(arm: Arm, ask: Ask, properties: Json) -> None:
    for rule in properties.get("securityRules", []):
        rule["id"] = f"{ask.path}/securityRules/{rule['name']}"
        for name in ("access", "direction", "priority", "protocol"):
            if name not in rule["properties"]:
                raise Refused(400, "SecurityRuleInvalid", f"Security rule has no {name}.")
    properties.setdefault("securityRules", [])


def _network(arm: Arm, ask: Ask, properties: Json) -> None:
    for subnet in properties.get("subnets", []):
        subnet["id"] = f"{ask.path}/subnets/{subnet['name']}"
        subnet.setdefault("properties", {})["provisioningState"] = "Succeeded"
        identity = subnet["id"].lower()
        arm.resources[identity] = {"id": subnet["id"], "name": subnet["name"], "type": "subnet", "_of": ask.path}


def _public_address(arm: Arm, ask: Ask, properties: Json) -> None:
    if ask.body.get("sku", {}).get("name") == "Standard" and properties.get("publicIPAllocationMethod") != "Static":
        raise Refused(
            400, "PublicIPAddressStandardMustBeStatic", "Standard sku publicIp must have AllocationMethod Static."
        )
    number = 4 + len(arm.of_kind("Microsoft.Network/publicIPAddresses"))
    properties.setdefault("ipAddress", f"192.0.2.{number}")
    properties.setdefault("idleTimeoutInMinutes", 4)
    label = properties.get("dnsSettings", {}).get("domainNameLabel")
    if label:
        for other in arm.of_kind("Microsoft.Network/publicIPAddresses"):
            taken = other["properties"].get("dnsSettings", {}).get("domainNameLabel")
            if taken == label and other["id"].lower() != ask.path.lower():
                raise Refused(400, "DnsRecordInUse", f"DNS record {label} is already used by another public IP.")
        properties["dnsSettings"]["fqdn"] = f"{label}.{ask.body['location']}.cloudapp.azure.com"


def _interface(arm: Arm, ask: Ask, properties: Json) -> None:
    before = arm.get(ask.path)
    if before and before["properties"].get("virtualMachine"):
        properties["virtualMachine"] = before["properties"]["virtualMachine"]
    if "networkSecurityGroup" in properties:
        arm.referenced(properties["networkSecurityGroup"]["id"], ask.path)
    for configuration in properties.get("ipConfigurations", []):
        inner = configuration["properties"]
        configuration["id"] = f"{ask.path}/ipConfigurations/{configuration['name']}"
        arm.referenced(inner["subnet"]["id"], ask.path)
        inner.setdefault("privateIPAllocationMethod", "Dynamic")
        inner["privateIPAddress"] = "10.171.0.4"
        inner["provisioningState"] = "Succeeded"
        inner["primary"] = True
        if "publicIPAddress" in inner:
            address = arm.referenced(inner["publicIPAddress"]["id"], ask.path)
            holder = address["properties"].get("ipConfiguration", {}).get("id")
            if holder and not holder.lower().startswith(ask.path.lower()):
                raise Refused(400, "PublicIPAddressInUse", f"{address['id']} is used by {holder}")
            address["properties"]["ipConfiguration"] = {"id": configuration["id"]}
    properties["macAddress"] = "00-0D-3A-6E-00-01"


_PREPARE = dict(zip(KINDS, (_security_group, _network, _public_address, _interface), strict=True))


@route("PUT", f"{GROUP}/{NETWORK}/networkSecurityGroups/{{name}}/securityRules/{{rule}}")
def put_rule(arm: Arm, ask: Ask) -> Reply:
    group = arm.need(ask.path.rsplit("/", 2)[0])
    rule = {"id": ask.path, "name": ask.parts["rule"], "properties": dict(ask.body["properties"])}
    rule["properties"]["provisioningState"] = "Succeeded"
    rules = group["properties"].setdefault("securityRules", [])
    rules[:] = [item for item in rules if item["name"] != ask.parts["rule"]] + [rule]
    headers = arm.begin(ask, f"{NETWORK}/locations/{group['location']}/operations", lambda: None)
    return Reply(201, rule, headers)


@route("GET", f"{GROUP}/{NETWORK}/networkSecurityGroups/{{name}}/securityRules/{{rule}}")
def read_rule(arm: Arm, ask: Ask) -> Reply:
    group = arm.need(ask.path.rsplit("/", 2)[0])
    return Reply(200, next(item for item in group["properties"]["securityRules"] if item["name"] == ask.parts["rule"]))


@route("GET", f"{GROUP}/{NETWORK}/virtualNetworks/{{name}}/subnets/{{subnet}}")
def read_subnet(arm: Arm, ask: Ask) -> Reply:
    network = arm.need(ask.path.rsplit("/", 2)[0])
    for subnet in network["properties"].get("subnets", []):
        if subnet["name"].lower() == ask.parts["subnet"].lower():
            return Reply(200, subnet)
    raise Refused(404, "NotFound", f"Resource {ask.path} not found.")


@route("GET", f"{GROUP}/{NETWORK}/{{kind}}/{{name}}")
def get(arm: Arm, ask: Ask) -> Reply:
    _kind(ask)
    return Reply(200, arm.need(ask.path))


@route("GET", f"{GROUP}/{NETWORK}/{{kind}}")
def listing(arm: Arm, ask: Ask) -> Reply:
    return Reply(200, {"value": arm.of_kind(f"Microsoft.Network/{_kind(ask)}", ask.parts["group"])})


@route("DELETE", f"{GROUP}/{NETWORK}/{{kind}}/{{name}}")
def delete(arm: Arm, ask: Ask) -> Reply:
    kind = _kind(ask)
    if arm.get(ask.path) is None:
        arm.need_group(ask.path)
        return Reply(204)
    resource = arm.need(ask.path)
    _refuse_when_used(arm, kind, resource)

    def finish() -> None:
        for key in [key for key in arm.resources if key == ask.path.lower() or key.startswith(ask.path.lower() + "/")]:
            del arm.resources[key]
        if kind == "networkInterfaces":
            for configuration in resource["properties"].get("ipConfigurations", []):
                address = arm.get(configuration["properties"].get("publicIPAddress", {}).get("id", ""))
                if address:
                    address["properties"].pop("ipConfiguration", None)

    where = f"{NETWORK}/locations/{resource['location']}/operations"
    return Reply(202, None, arm.begin(ask, where, finish, location=True))


def check_reserved(interface: Json) -> None:
    """An interface stays reserved for 180 seconds after its VM could not be made.

    Sources: gardenlinux/gardenlinux issue 4133, Azure/karpenter-provider-azure issue 92, rancher/machine issue 359.
    """
    if interface.get("_reserved", 0) > 0:
        interface["_reserved"] -= 1
        raise Refused(
            400,
            "NicReservedForAnotherVm",
            "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) "
            "or "
            "retry after 180 seconds.",
        )


def _refuse_when_used(arm: Arm, kind: str, resource: Json) -> None:
    identity = resource["id"].lower()
    if kind == "networkInterfaces" and resource["properties"].get("virtualMachine"):
        holder = resource["properties"]["virtualMachine"]["id"]
        raise Refused(400, "NicInUse", f"Network Interface {resource['id']} is used by existing resource {holder}.")
    if kind == "networkInterfaces":
        check_reserved(resource)
    if kind == "publicIPAddresses" and resource["properties"].get("ipConfiguration"):
        raise Refused(
            400,
            "PublicIPAddressCannotBeDeleted",
            f"Public IP address {resource['id']} can not be deleted since it is still allocated.",
        )
    for interface in arm.of_kind("Microsoft.Network/networkInterfaces"):
        properties = interface["properties"]
        subnets = [item["properties"]["subnet"]["id"].lower() for item in properties["ipConfigurations"]]
        if kind == "virtualNetworks" and any(subnet.startswith(identity + "/") for subnet in subnets):
            raise Refused(400, "InUseSubnetCannotBeDeleted", f"Subnet is in use by {interface['id']}.")
        if (
            kind == "networkSecurityGroups"
            and properties.get("networkSecurityGroup", {}).get("id", "").lower() == identity
        ):
            raise Refused(400, "InUseNetworkSecurityGroupCannotBeDeleted", f"It is in use by {interface['id']}.")
