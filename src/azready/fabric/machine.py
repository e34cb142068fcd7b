"""The virtual machine that the local Azure pretends to have created: what its owner asked for.

A `Machine` is a value; nothing here does input or output but `load`, which reads a TOML file:

    name = "vm1"                    # the VM resource: IMDS compute.name
    computer_name = "web-1"         # osProfile.computerName; the name when absent
    admin_username = "azureuser"
    public_keys = ["ssh-ed25519 AAAA… me@laptop"]
    disable_password_authentication = true
    admin_password = "…"            # only ever on the provisioning medium
    custom_data = "#cloud-config…"  # text; only ever on the provisioning medium
    user_data = "…"                 # text; only ever in IMDS
    generation = 2                  # 1 (BIOS) or 2 (UEFI)
    vm_id = "…"                     # a GUID; made from the name when absent
    location = "westeurope"
    size = "Standard_B2s"
    incarnation = "1"               # of the goal state
    certificates = false            # whether the goal state links to certificates
    pps_type = "None"               # extended.compute.ppsType: None, Running, Savable, PreprovisionedOSDisk
    security_type = "Standard"      # Standard, TrustedLaunch, ConfidentialVM
    identity = ["system"]           # managed identities: system, and client ids of user-assigned ones; none when absent
    data_disks = [{ lun = 0, size = 64 }]               # GiB; or only the sizes: [64, 128]
    address6 = "fd00:a2::4"         # dual stack
    tags = { owner = "me" }
    secondary_nics = [["00:0d:3a:6e:00:99", "10.1.0.9"]]
    medium_form = "azure"           # how ovf-env.xml is written: azure, wa, ns1, default
    msp = "disabled"                # Metadata Security Protocol: disabled, audit, enforce; or wireserver=…,imds=…
    scheduled_events = ["Reboot"]   # that IMDS announces
    provisiondata = ""              # a proposal for Azure without media: secrets, ovf, json

    [imds]                          # any value of the instance document, by its path, as IMDS shall show it
    "compute.osProfile.disablePasswordAuthentication" = ""
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from azready import toml
from azready.errors import UsageFailure
from azready.fabric import sizes

ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""The SMBIOS chassis asset tag by which a guest knows that it runs on Azure."""

_NAMESPACE = uuid.UUID("5ec2a6f4-9d0c-4f7e-8a3b-0d1f6a1f0a7e")

CHOICES = {
    "security_type": ("Standard", "TrustedLaunch", "ConfidentialVM"),
    "pps_type": ("None", "Running", "Savable", "PreprovisionedOSDisk"),
    "medium_form": ("azure", "wa", "ns1", "default"),
    "provisiondata": ("", "secrets", "ovf", "json"),
}
"""Fields that take one of a few texts."""
_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "vm_id": (uuid.UUID, "a GUID"),
    "mac": (lambda text: _next_mac(text), "an address such as 00:0d:3a:6e:00:01"),
    "address": (IPv4Address, "an IPv4 address"),
    "public_address": (IPv4Address, "an IPv4 address"),
    "subnet": (lambda text: IPv4Network(text, strict=False)[1], "an IPv4 network such as 10.1.0.0/24"),
    "address6": (IPv6Address, "an IPv6 address"),
    "subnet6": (lambda text: IPv6Network(text, strict=False), "an IPv6 network such as fd00:a2::/64"),
}
"""How fields are written that are not any text."""
_MAY_BE_EMPTY = ("vm_id", "public_address", "address6")
MSP_MODES = ("disabled", "audit", "enforce")
EVENTS = ("Freeze", "Reboot", "Redeploy", "Preempt", "Terminate")
"""Types of scheduled events, as Microsoft's page has them."""


@dataclass(frozen=True)
class DataDisk:
    """A data disk; `size` in GiB."""

    lun: int
    size: int
    caching: str = "None"
    sku: str = "StandardSSD_LRS"


@dataclass(frozen=True)
class Machine:
    """One VM. Every text is what the user asked for, not escaped or encoded in any way."""

    name: str = "azready-vm"
    computer_name: str = ""
    admin_username: str = "azureuser"
    admin_password: str = ""
    public_keys: tuple[str, ...] = ()
    disable_password_authentication: bool = True
    custom_data: str = ""
    user_data: str = ""
    vm_id: str = ""
    generation: int = 2
    location: str = "westeurope"
    size: str = "Standard_B2s"
    resource_group: str = "azready"
    subscription_id: str = "00000000-0000-4000-8000-000000000000"
    zone: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    mac: str = "00:0d:3a:6e:00:01"
    address: str = "10.1.0.4"
    subnet: str = "10.1.0.0/24"
    public_address: str = ""
    secondary_nics: tuple[tuple[str, str], ...] = ()
    """(MAC, address) of every further network interface."""
    container_id: str = ""
    instance_id: str = ""
    incarnation: str = "1"
    certificates: bool = False
    provision_guest_agent: bool = False
    """ProvisionGuestAgent on the medium: false for VMs made with `az vm create --enable-agent false`."""
    pps_type: str = "None"
    security_type: str = "Standard"
    identity: tuple[str, ...] = ()
    """Managed identities: `system`, and the client ids of user-assigned ones."""
    tenant_id: str = "00000000-0000-4000-8000-0000000000aa"
    data_disks: tuple[DataDisk, ...] = ()
    address6: str = ""
    """A second, IPv6 address of the primary network interface."""
    subnet6: str = "fd00:a2::/64"
    nics_shuffled: bool = False
    """Whether IMDS lists the network interfaces in another order than the machine has them: Azure promises none."""
    medium_form: str = "azure"
    msp: str = "disabled"
    """Metadata Security Protocol: one mode for both endpoints, or `wireserver=MODE,imds=MODE`."""
    scheduled_events: tuple[str, ...] = ()
    provisiondata: str = ""
    """A proposal, not (yet) Azure: what `/provisiondata` of the WireServer serves in place of a medium."""
    imds: tuple[tuple[str, Any], ...] = ()
    """(path, value) that IMDS shows instead of what follows from the fields above; the path's steps joined by dots."""

    def __post_init__(self) -> None:
        if self.generation not in (1, 2):
            raise UsageFailure(f"generation is {self.generation!r}", "use 1 (BIOS) or 2 (UEFI)")
        if self.generation not in self.hardware.generations:
            raise UsageFailure(
                f"{self.size} is a size of Generation {self.hardware.generations[0]}, not {self.generation}",
                "take another size, or leave generation at 2",
            )
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                known = ", ".join(one if one else "''" for one in allowed)
                raise UsageFailure(f"{field} is {getattr(self, field)!r}", f"use one of {known}")
        _modes(self.msp)
        for field in _FORMS:
            if getattr(self, field) or field not in _MAY_BE_EMPTY:
                _require_form(field, field, getattr(self, field))
        for mac, address in self.secondary_nics:
            _require_form("secondary_nics", "mac", mac)
            _require_form("secondary_nics", "address", address)
        if strange := set(self.scheduled_events) - set(EVENTS):
            raise UsageFailure(f"there is no scheduled event {min(strange)!r}", f"events: {', '.join(EVENTS)}")
        derived: dict[str, Callable[[], str]] = {
            "computer_name": lambda: self.name,
            "vm_id": lambda: str(uuid.uuid5(_NAMESPACE, self.name)),
            "container_id": lambda: str(uuid.uuid5(_NAMESPACE, f"{self.vm_id}/container")),
            "instance_id": lambda: f"{uuid.uuid5(_NAMESPACE, self.vm_id + '/instance')}._{self.name}",
        }
        for field, derive in derived.items():  # in this order: the later ones follow from vm_id
            if not getattr(self, field):
                object.__setattr__(self, field, derive())

    @property
    def product_uuid(self) -> str:
        """DMI's product_uuid: the VM id, with the first three fields byte-swapped on Generation 1 hosts."""
        vm_id = uuid.UUID(self.vm_id)
        return str(uuid.UUID(bytes=vm_id.bytes_le) if self.generation == 1 else vm_id)

    @property
    def resource_id(self) -> str:
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.Compute/virtualMachines/{self.name}"

    @property
    def hardware(self) -> "sizes.Hardware":
        """What the machine's size brings: controller, network, temporary disk."""
        return sizes.hardware(self.size)

    def msp_mode(self, endpoint: str) -> str:
        """The mode of the Metadata Security Protocol at `wireserver` or `imds`: disabled, audit or enforce."""
        return _modes(self.msp)[endpoint]

    @property
    def guest_proxy(self) -> bool:
        """Whether the platform wants a Guest Proxy Agent in this VM."""
        return self.msp != "disabled" and any(mode != "disabled" for mode in _modes(self.msp).values())

    def with_next_incarnation(self) -> "Machine":
        """The same VM with a new goal state."""
        number = int(self.incarnation) + 1 if self.incarnation.isdecimal() else 2
        return replace(self, incarnation=str(number))

    def moved(self) -> "Machine":
        """The same VM on another host: another container, and so a new goal state."""
        container = str(uuid.uuid5(_NAMESPACE, self.container_id + "/moved"))
        return replace(self.with_next_incarnation(), container_id=container)

    def recaptured(self) -> "Machine":
        """The same image as a new VM: another VM id, container, instance and MACs; the same wishes of its owner."""
        fresh = str(uuid.uuid5(_NAMESPACE, self.vm_id + "/recaptured"))
        nics = tuple((_next_mac(mac), address) for mac, address in self.secondary_nics)
        return replace(self, vm_id=fresh, container_id="", instance_id="", mac=_next_mac(self.mac), secondary_nics=nics)


def _require_form(field: str, kind: str, text: str) -> None:
    read, form = _FORMS[kind]
    try:
        read(text)
    except (ValueError, IndexError) as error:
        raise UsageFailure(f"{field}: {text!r} is not {form}", "see docs/machine.md") from error


def _modes(text: str) -> dict[str, str]:
    """Endpoint → mode. Raises UsageFailure for another endpoint or mode."""
    pairs = [word.partition("=") for word in text.replace(" ", "").split(",")]
    stated = {"wireserver": pairs[0][0], "imds": pairs[0][0]}
    if pairs[0][1]:
        stated = {"wireserver": "disabled", "imds": "disabled"} | {key: mode for key, _, mode in pairs}
    if len(stated) != 2 or any(mode not in MSP_MODES for mode in stated.values()):
        raise UsageFailure(f"msp is {text!r}", "use disabled, audit or enforce; or wireserver=enforce,imds=audit")
    return stated


def _next_mac(mac: str) -> str:
    """Raises ValueError for what is no MAC."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", mac):
        raise ValueError(mac)
    number = int(mac.replace(":", ""), 16) + 0x100
    return ":".join(f"{number:012x}"[i : i + 2] for i in range(0, 12, 2))


def load(path: Path) -> Machine:
    """Read a machine description. Raises UsageFailure that names the file, the key and what it may be."""
    try:
        table = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror}", "give a TOML file that describes the VM") from error
    except ValueError as error:
        raise UsageFailure(f"{path} is not TOML: {error}", "see docs/machine.md for an example") from error
    return from_table(table, str(path))


def from_table(table: dict[str, Any], source: str) -> Machine:
    """Make a machine from a table of the form above; `source` names it in errors."""
    return Machine(**typed_fields(table, source))


def typed_fields(table: dict[str, Any], source: str) -> dict[str, Any]:
    """The fields that a table of the form above gives. Raises UsageFailure for an unknown key or a wrong type."""
    known = {field.name: field.type for field in fields(Machine)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UsageFailure(f"{source}: unknown key {key!r}", f"known keys: {', '.join(sorted(known))}")
        values[key] = _typed(key, value, source)
        if not _is_text(value):
            raise UsageFailure(f"{source}: {key} is no UTF-8, or no value of JSON", "see docs/machine.md")
    return values


def _is_text(value: Any) -> bool:
    """Whether every text in it is one, and the platform could say it: JSON has neither dates nor infinity."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return False
    return True


def changed(machine: Machine, values: Mapping[str, Any]) -> Machine:
    """The machine with other values; what follows from a changed name (ids, computer name) follows it."""
    return Machine(**{**_stated(machine), **values})


def as_table(machine: Machine) -> dict[str, Any]:
    """The table from which `from_table` makes this machine again; fields at their defaults are left out."""
    table = _stated(machine)
    for key in {"tags", "imds"} & set(table):
        table[key] = dict(table[key])
    for key in _LISTS & set(table):
        table[key] = [list(item) if isinstance(item, tuple) else item for item in table[key]]
    if "data_disks" in table:
        table["data_disks"] = [asdict(disk) for disk in table["data_disks"]]
    return table


LISTS_OF_TEXTS = {
    "public_keys": 'public_keys = ["ssh-ed25519 …"]',
    "identity": 'identity = ["system"]',
    "scheduled_events": 'scheduled_events = ["Reboot"]',
}
"""Fields that are lists of texts, each with an example."""
_LISTS = {*LISTS_OF_TEXTS, "secondary_nics"}


def _stated(machine: Machine) -> dict[str, Any]:
    """The fields that do not follow from the name or from their defaults; the name itself always."""
    plain = Machine(name=machine.name, vm_id=machine.vm_id)
    values = {field.name: getattr(machine, field.name) for field in fields(Machine)}
    stated = {key: value for key, value in values.items() if value != getattr(plain, key)}
    follows = machine.vm_id == Machine(name=machine.name).vm_id
    return {"name": machine.name, **({} if follows else {"vm_id": machine.vm_id}), **stated}


def _typed(key: str, value: Any, source: str) -> Any:
    if key in LISTS_OF_TEXTS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageFailure(f"{source}: {key} must be a list of texts", f"write {LISTS_OF_TEXTS[key]}")
        return tuple(value)
    if key == "data_disks":
        return _disks(value, source)
    if key == "imds":
        if not isinstance(value, dict):
            raise UsageFailure(f"{source}: imds must be a table", 'write imds = { "compute.zone" = "1" }')
        return tuple(value.items())
    if key == "secondary_nics":
        return _nics(value, source)
    if key == "tags":
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise UsageFailure(f"{source}: tags must be a table of texts", 'write tags = { owner = "me" }')
        return tuple(value.items())
    default = Machine.__dataclass_fields__[key].default
    if type(value) is not type(default):
        raise UsageFailure(f"{source}: {key} must be a {type(default).__name__}, not {value!r}", "see docs/machine.md")
    return value


def _disks(value: Any, source: str) -> tuple[DataDisk, ...]:
    """Data disks from tables, or from sizes alone, which take the next free LUNs."""
    disks: list[DataDisk] = []
    items: list[Any] = value if isinstance(value, list) else [None]
    for item in items:
        try:
            table: dict[str, Any] = {"size": item} if type(item) is int else dict(item)
            disk = DataDisk(**{"lun": max((one.lun for one in disks), default=-1) + 1, **table})
            right = type(disk.lun) is int and type(disk.size) is int and type(disk.caching) is type(disk.sku) is str
        except (TypeError, ValueError):
            right = False
        if not right or disk.size <= 0 or disk.lun in {one.lun for one in disks}:
            raise UsageFailure(
                f"{source}: data_disks must be tables with a size in GiB and a LUN of their own",
                'write data_disks = [{ lun = 0, size = 64, caching = "ReadOnly" }], or only sizes: [64, 128]',
            )
        disks.append(disk)
    return tuple(disks)


def _nics(value: Any, source: str) -> tuple[tuple[str, str], ...]:
    pairs: list[Any] = value if isinstance(value, list) else [None]
    if not all(isinstance(pair, list) and [type(item) for item in pair] == [str, str] for pair in pairs):
        raise UsageFailure(
            f"{source}: secondary_nics must be a list of [MAC, address]",
            'write secondary_nics = [["00:0d:3a:6e:00:99", "10.1.0.9"]]',
        )
    return tuple((mac, address) for mac, address in pairs)
