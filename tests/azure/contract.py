"""Holds exchanges to Microsoft's published schemas, when the bundle of schemas lies beside the checkout.

The bundle covers most of what we ask. What it lacks is listed here, with what stands in for it: nothing may slip
through because nobody looked.
"""

import functools
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.azure.fake_arm.server import Exchange

BUNDLE = Path(__file__).parents[3] / "shared" / "azure-api"
MISSING = "needs Microsoft's schemas of Azure: a folder azure-api in ../shared, which is not published"

SAME_AS_PUT = ("networkSecurityGroups", "virtualNetworks", "snapshots")
"""Reads that the bundle lacks: the answer has the form that the creation's has."""

NOT_OURS = re.compile(
    r"/operations/|/DiskOperations/|/capsOperations/|/operationStatuses/|/operationresults/|/oauth2/|/\.well-known/"
    r"|/discovery/|^/subscriptions(/[^/]+)?$|/Microsoft\.Authorization/",
    re.IGNORECASE,
)
"""Polls (their addresses come from Azure), tokens, subscriptions: not operations of the schemas."""

UNSEEN = re.compile(
    r"/virtualMachineScaleSets(/|$)|/virtualMachines$|/subnets/[^/]+$|/diskEncryptionSets/[^/]+$", re.IGNORECASE
)
"""Not in the bundle: scale sets (test_requests.py holds them to the parts of VMs), lists of VMs, these two."""


@dataclass(frozen=True)
class Checker:
    contract: Any
    """None when the bundle is not there."""

    @classmethod
    @functools.cache
    def load(cls) -> "Checker":
        if not (BUNDLE / "check.py").exists():
            return cls(None)
        spec = importlib.util.spec_from_file_location("azure_api_check", BUNDLE / "check.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return cls(module.Contract())

    def problems(self, exchanges: Iterable[Exchange]) -> list[str]:
        """One line for every way in which an exchange does not conform."""
        return [
            f"{item.method} {item.url}: {problem}"
            for item in exchanges
            if self.contract is not None
            for problem in self.check(item.method, item.url, item.body, item.status, item.answer)
        ]

    def check(
        self, method: str, url: str, body: Any = None, status: int | None = None, answer: Any = None
    ) -> list[str]:
        path = urlsplit(url).path
        if NOT_OURS.search(path) or UNSEEN.search(path):
            return []
        answered = (None, None) if status is not None and status >= 400 else (status, answer)
        if method == "GET" and path.split("/")[-2] in SAME_AS_PUT:
            found = self.contract.check("PUT", url, body, *answered)
            return [problem for problem in found if "a request body is required" not in problem]
        return list(self.contract.check(method, url, body, *answered))
