"""What capture, publish and verify share on the command line: options named as in `az`, the session, the plan."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import outputs
from azready.console import Console
from azready.errors import Failure, UsageFailure

if TYPE_CHECKING:
    from azready.azure.client import Client
    from azready.azure.clouds import Cloud
    from azready.azure.known import Known
    from azready.azure.requests.images import Definition, TargetRegion
    from azready.azure.requests.model import Place
    from azready.azure.rights import Right
    from azready.azure.state import StateFile
    from azready.azure.steps import Step

Group = Annotated[str, typer.Option("--resource-group", "-g", help="Resource group; created when absent.")]
Location = Annotated[str, typer.Option("--location", "-l", help="Region, such as westeurope.")]
Subscription = Annotated[str, typer.Option("--subscription", help="Id or name; else AZURE_SUBSCRIPTION_ID, else az's.")]
CloudName = Annotated[
    str,
    typer.Option("--cloud", help="AzureCloud, AzureUSGovernment or AzureChinaCloud; else what `az cloud set` chose."),
]
Auth = Annotated[
    str,
    typer.Option(
        "--auth",
        help="How to log in: auto, environment, workload-identity, github, az, azd, device-code or managed-identity.",
    ),
]
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the image.")]
Size = Annotated[str, typer.Option("--size", help="VM size.")]
Admin = Annotated[str, typer.Option("--admin-username", help="User of the VMs.")]
SshKey = Annotated[Path, typer.Option("--ssh-key", help="Private key, with its .pub beside it; by default a new pair.")]
Subnet = Annotated[str, typer.Option("--subnet", metavar="ID", help="Use this subnet; by default a network is made.")]
Plan = Annotated[
    str,
    typer.Option("--plan", metavar="PUBLISHER:PRODUCT:NAME", help="Purchase plan of the marketplace image behind it."),
]
EncryptionSet = Annotated[
    str, typer.Option("--disk-encryption-set", metavar="ID", help="Encrypt the disks with the key of this set.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Remove nothing afterwards.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget an unfinished run instead of going on with it.")]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What every verb takes: who we are, and how a run is carried out and told."""

    tags: Annotated[
        list[str], typer.Option("--tags", metavar="KEY=VALUE", help="A tag for what is created; repeatable.")
    ] = field(default_factory=list)
    subscription: Subscription = ""
    cloud: CloudName = ""
    auth: Auth = "auto"
    state: Annotated[Path, typer.Option("--state", help="State file; by default under ~/.local/state/azready.")] = None  # type: ignore[assignment]
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the exact requests and the equal az lines; send nothing.")
    ] = False
    role: Annotated[
        bool,
        typer.Option("--print-role", help="Print a custom role with just the rights that this needs; send nothing."),
    ] = False
    output: outputs.Both = None

    def told(self, *apart: Path | None) -> outputs.Wanted:
        """Where the result goes in which form; `apart` are files that are read. Raises UsageFailure."""
        return outputs.parse(self.output, outputs.BOTH, (self.state, *apart))

    @property
    def asked(self) -> "Asked":
        return Asked(self.subscription, self.cloud, self.auth)

    def place(self, group: str, location: str) -> "Place":
        """Where the run works; its subscription is found by the login. Raises UsageFailure on a wrong tag."""
        from azready.azure.requests.model import Place

        return Place("", group, location.replace(" ", "").lower(), parse_tags(self.tags))


@dataclass(frozen=True, kw_only=True)
class GalleryOptions:
    """Where an image goes when it becomes a version in a gallery, and what a new definition says."""

    gallery_name: Annotated[str, typer.Option("--gallery-name", "-r", help="Compute gallery; created when absent.")] = (
        ""
    )
    gallery_group: Annotated[
        str, typer.Option("--gallery-resource-group", help="Where the gallery lies; by default the resource group.")
    ] = ""
    definition: Annotated[
        str, typer.Option("--gallery-image-definition", "-i", help="Definition in it; by default the name.")
    ] = ""
    version: Annotated[
        str, typer.Option("--gallery-image-version", "-e", help="MAJOR.MINOR.PATCH; by default the next patch.")
    ] = ""
    regions: Annotated[
        list[str],
        typer.Option("--target-regions", metavar="REGION[=REPLICAS[=STORAGE]]", help="Where to copy; repeatable."),
    ] = field(default_factory=list)
    region_keys: Annotated[
        list[str],
        typer.Option(
            "--target-region-encryption",
            metavar="REGION=ID",
            help="The disk encryption set of a target region; that of --location is --disk-encryption-set. Repeatable.",
        ),
    ] = field(default_factory=list)
    publisher: Annotated[str, typer.Option("--publisher", help="Publisher of a new definition.")] = "azready"
    offer: Annotated[str, typer.Option("--offer", help="Offer of a new definition.")] = "linux"
    sku: Annotated[str, typer.Option("--sku", help="SKU of a new definition; by default its name.")] = ""
    controllers: Annotated[
        str,
        typer.Option(
            "--disk-controller-types",
            help="`SCSI` or `SCSI, NVMe`: what a new definition says that the image boots from.",
        ),
    ] = ""

    def targets(self, home: str, encryption_set: str) -> "tuple[TargetRegion, ...]":
        """The regions of a version, each with its key; of a managed image, its own. Raises UsageFailure."""
        from azready.azure.preflight import encrypted, parse_encryption_set, parse_regions

        own = parse_encryption_set(encryption_set)
        if not self.gallery_name and self.region_keys:
            raise UsageFailure("--target-region-encryption is of a gallery version", "give --gallery-name")
        regions = parse_regions(self.regions, home)
        return encrypted(regions, self.region_keys, home, own) if self.gallery_name else regions

    def wanted(self, name: str) -> "Definition":
        """The definition as these options have it, called `name` unless they say otherwise. Raises UsageFailure."""
        from azready.azure.requests.images import Definition

        subscription, group, gallery = gallery_of(self.gallery_name, self.gallery_group)
        return Definition(
            gallery,
            self.definition or name,
            self.publisher,
            self.offer,
            self.sku or name,
            "",
            controllers=controllers_of(self.controllers),
            subscription=subscription,
            group=group,
        )


DEFAULT_SIZE = "Standard_D2s_v5"
SECURITY_TYPES = ("", "Standard", "TrustedLaunch", "TrustedLaunchSupported")


@dataclass(frozen=True)
class Asked:
    """The options that say who we are and where."""

    subscription: str
    cloud: str
    auth: str


@dataclass(frozen=True)
class Session:
    """A login that works, and the subscription that it is used for."""

    client: "Client"
    cloud: "Cloud"
    subscription: str
    ca: str | None


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value as Azure writes it, in whatever case it was given. Raises UsageFailure."""
    for each in allowed:
        if each.lower() == value.lower():
            return each
    raise UsageFailure(f"{option} is {value!r}", f"use {', '.join(filter(None, allowed[:-1]))} or {allowed[-1]}")


def gallery_of(name: str, group: str) -> tuple[str, str, str]:
    """Subscription, group and name of a gallery that was given by name or by its whole id; empty: the run's own."""
    parts = name.strip("/").split("/")
    if len(parts) == 1:
        return "", group, name
    kinds = [part.lower() for part in parts[0::2]]
    if len(parts) != 8 or kinds != ["subscriptions", "resourcegroups", "providers", "galleries"]:
        raise UsageFailure(
            f"{name!r} is not a gallery", "give its name, or its whole id (az sig show --query id -o tsv)"
        )
    return parts[1], parts[3], parts[7]


def controllers_of(text: str) -> str:
    """`SCSI, NVMe` however it was written; empty when it was not given. Raises UsageFailure."""
    from azready.azure.preflight import parse_controllers

    found = parse_controllers(text)
    if text and (not found or len(found) != len(text.split(","))):
        raise UsageFailure(f"--disk-controller-types is {text!r}", "use SCSI, or 'SCSI, NVMe'")
    return ", ".join(found)


def definition_inputs(wanted: "Definition | None") -> dict[str, str]:
    """What of a definition a run that goes on may not change."""
    if wanted is None:
        return {}
    plan = wanted.plan
    return {
        "gallery group": f"{wanted.subscription}/{wanted.group}".strip("/"),
        "security type": wanted.security_type,
        "disk controller types": wanted.controllers,
        "publisher, offer, SKU": f"{wanted.publisher}, {wanted.offer}, {wanted.sku}",
        "OS state": wanted.os_state,
        "plan": f"{plan.publisher}:{plan.product}:{plan.name}" if plan else "",
    }


def regions_as_text(regions: "tuple[TargetRegion, ...]") -> str:
    return ", ".join(f"{each.name}={each.replicas}={each.storage}{each.encryption_set}" for each in regions)


def print_role(verb: str, asked: Asked, rights: "frozenset[Right]", console: Console) -> None:
    """The role on stdout, the commands that make and assign it on stderr."""
    from azready.azure.rights import role

    subscription = planned_place(asked)[1].strip("<>")
    known = "" if subscription == "subscription" else subscription
    print(json.dumps(role(verb, known, rights), indent=2))
    scope = f"/subscriptions/{known or 'SUBSCRIPTION'}"
    console.say(
        "az role definition create --role-definition FILE\n"
        f"az role assignment create --role 'azready {verb}' --assignee LOGIN --scope {scope}\n"
        f"Assigned on {scope}/resourceGroups/GROUP alone it does too, when the group exists: sizes, quotas and the "
        "marketplace are then not looked at beforehand."
    )


def need_libraries() -> None:
    """Raise Failure when the optional Azure libraries are not installed."""
    import importlib.util

    try:
        found = all(importlib.util.find_spec(name) for name in ("azure.core", "azure.mgmt.core", "azure.identity"))
    except ModuleNotFoundError:
        found = False
    if not found:
        raise Failure("Azure's libraries are not installed", "pip install 'azready[azure]'")


def planned_place(asked: Asked) -> tuple[str, str]:
    """For a dry run: the endpoint, and the subscription as far as it is known without asking."""
    from azready.azure import clouds, subscriptions

    cloud = clouds.choose(asked.cloud, os.environ)
    return cloud.arm, subscriptions.wanted(asked.subscription, os.environ) or "<subscription>"


def open_session(asked: Asked, console: Console) -> Session:
    """Log in and find the subscription. Raises Failure and UsageFailure."""
    need_libraries()
    from azready.azure import clouds, credentials, subscriptions
    from azready.azure.client import Client

    cloud = clouds.choose(asked.cloud, os.environ)
    way = credentials.choose(asked.auth, os.environ, lambda tool: shutil.which(tool) is not None)
    ca = os.environ.get("REQUESTS_CA_BUNDLE") or None
    wanted = subscriptions.wanted(asked.subscription, os.environ)
    client = Client(cloud, credentials.make(way, cloud, os.environ, wanted, console.warn), console, ca=ca)
    subscription = subscriptions.resolve(client, wanted)
    console.say(f"Using {credentials.DESCRIPTIONS[way]}, subscription {subscription}, {cloud.name}")
    return Session(client, cloud, subscription, ca)


def parse_tags(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Read `KEY=VALUE` texts. Raises UsageFailure."""
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageFailure(f"{text!r} is not a tag", "write KEY=VALUE")
        pairs.append((key, value))
    return tuple(pairs)


def open_state(
    path: Path | None, verb: str, group: str, name: str, inputs: Mapping[str, str], restart: bool, console: Console
) -> "StateFile":
    """The state file of this run: an unfinished one with the same inputs, or a new one."""
    from azready.azure.state import default_path, open_or_restart

    return open_or_restart(path or default_path(os.environ, verb, group, name), verb, inputs, restart, console.say)


def print_plan(steps: "list[Step]", endpoint: str, wanted: outputs.Wanted, known: "Known | None" = None) -> None:
    """Every step in order: its title, its request in full, and the `az` lines that do the same."""
    from azready.azure.requests.model import as_json, as_text
    from azready.azure.steps import Work, requests_of

    pairs = requests_of(steps, known)
    rows = [
        {"step": step.id, "title": step.title}
        | (as_json(request, endpoint) if request else {})
        | ({"note": step.note} if isinstance(step, Work) and step.note else {})
        for step, request in pairs
    ]
    lines = []
    for number, (step, request) in enumerate(pairs, 1):
        lines.append(f"{number}. {step.title}" + (f": {request.usual}" if request and request.usual else ""))
        if request:
            lines.append(_indented(as_text(request, endpoint)))
        if isinstance(step, Work) and step.note:
            lines.append(_indented(f"# {step.note}"))
    outputs.tell(wanted, lambda: "\n".join((*lines, "Nothing was sent.")), lambda: {"steps": rows})


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; without one, or without a yes, raise UsageFailure."""
    if yes:
        return
    if not os.isatty(0):
        raise UsageFailure(f"{question}: not confirmed", "say --yes to do it without being asked")
    if not typer.confirm(question, err=True):
        raise UsageFailure("not confirmed", "nothing was done")
