"""The step that removes a resource."""

from azready.azure.requests import machines, network
from azready.azure.requests.model import delete
from azready.azure.steps import Remove


def remove(identity: str, version: str) -> Remove:
    """By its id, asked for in the api-version of its provider."""
    usual = machines.DELETE if "/virtualMachines/" in identity else network.QUICK
    short = "/".join(identity.split("/")[-2:])
    return Remove(f"remove {short}", f"remove {short}", lambda _: delete(identity, version, usual))
