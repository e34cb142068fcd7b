"""A call to Azure Resource Manager as a value, and the place where a run puts its resources.

Sources: Microsoft's REST reference of each provider. The api-versions are pinned: an answer's shape must not
depend on the day it is asked for.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from azready.errors import UsageFailure

Json = dict[str, Any]
Method = Literal["GET", "PUT", "POST", "DELETE"]

COMPUTE = "2024-03-01"
DISKS = "2023-10-02"
GALLERIES = "2023-07-03"
NETWORK = "2024-01-01"
RESOURCES = "2024-03-01"
SKUS = "2021-07-01"

VERSIONS = {
    "virtualmachines": COMPUTE,
    "virtualmachinescalesets": COMPUTE,
    "images": COMPUTE,
    "disks": DISKS,
    "snapshots": DISKS,
    "galleries": GALLERIES,
}
"""The api-version of each type of Microsoft.Compute that we touch."""

RUN_TAG = "azready-run"
"""Every resource that a run creates carries this tag with the run's id: by it the run knows its own."""


@dataclass(frozen=True)
class Usual:
    """How long a long-running operation takes in practice, in seconds."""

    median: float
    longest: float

    def __str__(self) -> str:
        return f"usually {_span(self.median)}, up to {_span(self.longest)} seen"


def _span(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


@dataclass(frozen=True)
class Request:
    """One call. `path` starts at the root of the endpoint; `az` are the command lines that do the same."""

    method: Method
    path: str
    api_version: str
    body: Json | None = None
    query: tuple[tuple[str, str], ...] = ()
    usual: Usual | None = None
    final_state_via: str = ""
    az: tuple[tuple[str, ...], ...] = field(default=(), compare=False)
    link: str = ""
    """A page of a list: path and query exactly as Azure gave them, instead of `path`."""

    @property
    def target(self) -> str:
        """Path and query, as sent."""
        pairs = (("api-version", self.api_version), *self.query)
        return f"{quote(self.path, safe='/()$,:=@')}?{urlencode(pairs, safe='$/:,', quote_via=quote)}"

    @property
    def resource(self) -> str:
        """A short name for people: `virtualMachines/web`."""
        return "/".join(self.path.rstrip("/").split("/")[-2:])


def as_text(request: Request, endpoint: str) -> str:
    """The request as a person reads it: the line, the body, and the equal `az` lines."""
    target = request.target.replace("%3C", "<").replace("%3E", ">")  # what a dry run cannot know yet
    lines = [f"{request.method} {endpoint}{target}"]
    if request.body is not None:
        lines += json.dumps(request.body, indent=2, ensure_ascii=False).splitlines()
    lines += [f"# {shlex.join(words)}" for words in request.az]
    return "\n".join(lines)


def as_json(request: Request, endpoint: str) -> Json:
    """The request as a table for `--output json`."""
    return {
        "method": request.method,
        "url": endpoint + request.target,
        "body": request.body,
        "az": [shlex.join(words) for words in request.az],
    }


@dataclass(frozen=True)
class Place:
    """Where a run works: subscription, resource group, region, and the tags that it puts on what it creates."""

    subscription: str
    group: str
    location: str
    tags: tuple[tuple[str, str], ...] = ()
    elsewhere: bool = False
    """Whether it is in another subscription than the one that `az` is set to: its lines then name it."""

    @property
    def root(self) -> str:
        return f"/subscriptions/{self.subscription}"

    @property
    def group_id(self) -> str:
        return f"{self.root}/resourcegroups/{self.group}"

    def compute(self, *names: str) -> str:
        """The id of a Microsoft.Compute resource: `compute("images", "web")`."""
        return self._id("Microsoft.Compute", names)

    def network(self, *names: str) -> str:
        """The id of a Microsoft.Network resource."""
        return self._id("Microsoft.Network", names)

    def _id(self, provider: str, names: Sequence[str]) -> str:
        return f"{self.root}/resourceGroups/{self.group}/providers/{provider}/{'/'.join(names)}"

    def envelope(self, properties: Json, **more: Any) -> Json:
        """The body of a tracked resource: location, tags and properties."""
        body: Json = {"location": self.location, "properties": properties, **more}
        if self.tags:
            body["tags"] = dict(self.tags)
        return body

    def az_common(self) -> tuple[str, ...]:
        """The options that every `az … create` of this run shares."""
        named = ("--subscription", self.subscription) if self.elsewhere else ()
        return ("-g", self.group, "-l", self.location, *named, *self.az_tags())

    def az_tags(self) -> tuple[str, ...]:
        return ("--tags", *(f"{key}={value}" for key, value in self.tags)) if self.tags else ()


def read(path: str, api_version: str, **query: str) -> Request:
    """A GET of a resource."""
    return Request("GET", path, api_version, query=tuple((f"${name}", value) for name, value in query.items()))


def delete(path: str, api_version: str, usual: Usual | None = None) -> Request:
    """A DELETE of a resource; gone already counts as done."""
    return Request("DELETE", path, api_version, usual=usual, az=(removal(path),))


_REMOVALS = {
    "virtualmachines": "vm delete --yes",
    "virtualmachinescalesets": "vmss delete",
    "images": "image delete",
    "disks": "disk delete --yes",
    "snapshots": "snapshot delete",
    "networkinterfaces": "network nic delete",
    "networksecuritygroups": "network nsg delete",
    "virtualnetworks": "network vnet delete",
    "publicipaddresses": "network public-ip delete",
}


def removal(path: str) -> tuple[str, ...]:
    """The `az` line that removes a resource (or a group)."""
    parts = path.strip("/").split("/")
    if len(parts) == 4 and parts[2].lower() == "resourcegroups":
        return ("az", "group", "delete", "-n", parts[3], "--subscription", parts[1], "--yes")
    kind = parts[6].lower()
    if kind == "galleries":
        levels = (("-r", 7, "sig"), ("-i", 9, "sig image-definition"), ("-e", 11, "sig image-version"))
        used = [level for level in levels if level[1] < len(parts)]
        names = tuple(word for option, at, _ in used for word in (option, parts[at]))
        return ("az", *used[-1][2].split(), "delete", "-g", parts[3], "--subscription", parts[1], *names)
    return ("az", *_REMOVALS.get(kind, "resource delete").split(), "--ids", path)


@dataclass(frozen=True)
class PurchasePlan:
    """The terms of a marketplace image: a VM that comes from one with terms has to name them."""

    publisher: str
    product: str
    name: str

    def as_json(self) -> Json:
        return {"publisher": self.publisher, "product": self.product, "name": self.name}


@dataclass(frozen=True)
class ImageUrn:
    """A marketplace image, `publisher:offer:sku:version`, as `az` writes it."""

    publisher: str
    offer: str
    sku: str
    version: str

    def __str__(self) -> str:
        return f"{self.publisher}:{self.offer}:{self.sku}:{self.version}"

    def reference(self) -> Json:
        return {"publisher": self.publisher, "offer": self.offer, "sku": self.sku, "version": self.version}


def parse_urn(text: str) -> ImageUrn:
    """Read `publisher:offer:sku:version`. Raises UsageFailure."""
    parts = text.split(":")
    if len(parts) != 4 or not all(parts):
        raise UsageFailure(
            f"{text!r} is not a marketplace image",
            "write publisher:offer:sku:version, such as debian:debian-12:12-gen2:latest; "
            "`az vm image list --all --publisher debian --output table` lists them",
        )
    return ImageUrn(*parts)
