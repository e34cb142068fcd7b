"""What a verification will cost, roughly, before it begins.

Prices come from Azure's public retail price list (no login needed); where that cannot be had the estimate says so
instead of guessing. Source: Microsoft's documents, "Azure Retail Prices REST API".
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

GetJson = Callable[[str], Any]
"""Fetches JSON; raises OSError or ValueError."""


@dataclass(frozen=True)
class Estimate:
    """`hourly` is the list price of one VM in `currency`, None when it is not known."""

    size: str
    instances: int
    minutes: float
    hourly: float | None
    currency: str = "USD"

    def __str__(self) -> str:
        vms = f"{self.instances} × {self.size} for about {self.minutes:.0f} minutes"
        if self.hourly is None:
            return f"{vms}; the price is not known: see https://azure.microsoft.com/pricing/calculator"
        total = self.hourly * self.instances * max(self.minutes, 1) / 60
        return (
            f"{vms}: about {total:.2f} {self.currency} ({self.hourly:.4f} an hour each, list price, without disks and "
            "traffic)"
        )


def estimate(base: str, location: str, size: str, instances: int, minutes: float, get: GetJson) -> Estimate:
    """Ask the price list at `base` (empty: there is none in this cloud)."""
    if not base:
        return Estimate(size, instances, minutes, None)
    wanted = f"armRegionName eq '{location}' and armSkuName eq '{size}' and priceType eq 'Consumption'"
    try:
        hourly, currency = _hourly(get(f"{base}/api/retail/prices?$filter={quote(wanted)}"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Estimate(size, instances, minutes, None)
    return Estimate(size, instances, minutes, hourly, currency)


def _hourly(answer: Any) -> tuple[float, str]:
    """The price of an hour, and its currency. Raises LookupError where there is none, and others for another shape."""
    for item in answer["Items"]:
        name = f"{item.get('productName', '')} {item.get('skuName', '')} {item.get('meterName', '')}"
        plain = not any(word in name for word in ("Windows", "Spot", "Low Priority", "Cloud Services"))
        if plain and item.get("serviceName") == "Virtual Machines" and item.get("unitOfMeasure") == "1 Hour":
            return float(item["retailPrice"]), str(item.get("currencyCode", "USD"))
    raise LookupError("no such size")


def fetch_json(url: str) -> Any:
    """A GetJson with the standard library, 5 seconds at most."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=ssl.create_default_context()) as answer:
            return json.load(answer)
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from error
