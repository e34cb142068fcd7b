"""The network around a VM: security group, virtual network, public address, interface.

Source: Microsoft's REST reference, Virtual Networks. Each `ensure_…` is one PUT, asked for only when absent.
"""

from azready.azure.requests.model import NETWORK, Json, Place, Request, Usual

ADDRESS_SPACE = "10.171.0.0/16"
SUBNET = "default"
QUICK = Usual(3, 12)


def create_security_group(place: Place, name: str, ssh_from: str, *, no_way_out: bool = False) -> Request:
    """`ssh_from` is the caller's address (`203.0.113.7/32`): ssh is open to it alone; empty opens nothing.

    `no_way_out`: the VMs may answer, and begin nothing themselves. Azure's own platform addresses are not affected.
    """
    az: list[tuple[str, ...]] = [("az", "network", "nsg", "create", "-n", name, *place.az_common())]
    wanted = [("ssh", "Inbound", "Allow", "Tcp", ssh_from, "22")] if ssh_from else []
    wanted += [("no-way-out", "Outbound", "Deny", "*", "*", "*")] if no_way_out else []
    rules: list[Json] = []
    for rule_name, direction, access, protocol, source, port in wanted:
        rules.append(
            {
                "name": rule_name,
                "properties": {
                    "priority": 1000,
                    "direction": direction,
                    "access": access,
                    "protocol": protocol,
                    "sourceAddressPrefix": source,
                    "sourcePortRange": "*",
                    "destinationAddressPrefix": "*",
                    "destinationPortRange": port,
                },
            }
        )
        rule: tuple[str, ...] = ("az", "network", "nsg", "rule", "create", "-g", place.group)
        rule += ("--nsg-name", name, "-n", rule_name, "--priority", "1000", "--protocol", protocol)
        rule += ("--access", access, "--direction", direction, "--source-address-prefixes", source)
        rule += ("--destination-port-ranges", port)
        az.append(rule)
    body = place.envelope({"securityRules": rules})
    return Request("PUT", place.network("networkSecurityGroups", name), NETWORK, body, usual=QUICK, az=tuple(az))


def create_network(place: Place, name: str) -> Request:
    """A network with one subnet, SUBNET, that is the whole ADDRESS_SPACE."""
    body = place.envelope(
        {
            "addressSpace": {"addressPrefixes": [ADDRESS_SPACE]},
            "subnets": [{"name": SUBNET, "properties": {"addressPrefix": ADDRESS_SPACE}}],
        }
    )
    az = ("az", "network", "vnet", "create", "-n", name, *place.az_common())
    az += ("--address-prefixes", ADDRESS_SPACE, "--subnet-name", SUBNET, "--subnet-prefixes", ADDRESS_SPACE)
    return Request("PUT", place.network("virtualNetworks", name), NETWORK, body, usual=QUICK, az=(az,))


def create_public_address(place: Place, name: str, dns_label: str = "") -> Request:
    """A fixed IPv4 address; `dns_label` is the first word of its name in the region's domain."""
    properties: Json = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
    az = ("az", "network", "public-ip", "create", "-n", name, *place.az_common())
    az += ("--sku", "Standard", "--allocation-method", "Static", "--version", "IPv4")
    if dns_label:
        properties["dnsSettings"] = {"domainNameLabel": dns_label}
        az += ("--dns-name", dns_label)
    body = place.envelope(properties, sku={"name": "Standard"})
    return Request("PUT", place.network("publicIPAddresses", name), NETWORK, body, usual=QUICK, az=(az,))


def subnet_id(place: Place, network: str) -> str:
    """The id of the one subnet of a network that `create_network` makes."""
    return place.network("virtualNetworks", network, "subnets", SUBNET)


def create_interface(place: Place, name: str, subnet: str, security_group: str, public_address: str = "") -> Request:
    """A network interface in `subnet` (an id); with a public address only when its name is given."""
    address: Json = {"privateIPAllocationMethod": "Dynamic", "subnet": {"id": subnet}}
    az = ("az", "network", "nic", "create", "-n", name, *place.az_common())
    az += ("--subnet", subnet, "--network-security-group", security_group)
    if public_address:
        address["publicIPAddress"] = {"id": place.network("publicIPAddresses", public_address)}
        az += ("--public-ip-address", public_address)
    body = place.envelope(
        {
            "networkSecurityGroup": {"id": place.network("networkSecurityGroups", security_group)},
            "ipConfigurations": [{"name": "ipconfig", "properties": address}],
        }
    )
    return Request("PUT", place.network("networkInterfaces", name), NETWORK, body, usual=QUICK, az=(az,))
