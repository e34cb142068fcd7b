"""Which subscription: by id or by name, asked for or the default one of the Azure CLI."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from azready.azure.client import Client
from azready.azure.requests.model import Json, read
from azready.errors import Failure, UsageFailure

LIST = "2022-12-01"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


def wanted(asked: str, environment: Mapping[str, str]) -> str:
    """What was asked for, else AZURE_SUBSCRIPTION_ID, else the default of `az account set`, else empty."""
    return asked or environment.get("AZURE_SUBSCRIPTION_ID", "") or _default_of_az(environment)


def _default_of_az(environment: Mapping[str, str]) -> str:
    folder = environment.get("AZURE_CONFIG_DIR") or f"{environment.get('HOME', '/')}/.azure"
    try:
        profile = json.loads((Path(folder) / "azureProfile.json").read_text(encoding="utf-8-sig"))
        return next((str(item["id"]) for item in profile["subscriptions"] if item.get("isDefault")), "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def resolve(client: Client, name: str) -> str:
    """The id of a subscription that was named by name or id. Raises UsageFailure and Failure."""
    if not name:
        raise UsageFailure(
            "no subscription was given", "give one with --subscription or AZURE_SUBSCRIPTION_ID, or run `az login`"
        )
    return name if is_id(name) else pick(client.send(read("/subscriptions", LIST)).body, name)


def pick(body: Json, name: str) -> str:
    """The id of the subscription called `name`, among those that Azure lists. Raises Failure."""
    found = [str(item["subscriptionId"]) for item in body.get("value") or () if item.get("displayName") == name]
    if len(found) == 1:
        return found[0]
    trouble = "several subscriptions are" if found else "no subscription of this login is"
    raise Failure(f"{trouble} called {name!r}", "give its id: az account list --output table")
