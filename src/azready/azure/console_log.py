"""The serial console of a VM: Azure gives a SAS to its log; the log says what the guest did."""

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from azready.azure.client import Client
from azready.azure.problems import AzureFailure
from azready.azure.requests.machines import console_log
from azready.azure.requests.model import Json, Place
from azready.errors import Failure

LARGEST = 4 * 1024 * 1024
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

Fetch = Callable[[str], bytes]
"""Gets what a SAS URL points to; raises OSError."""


@dataclass(frozen=True)
class Diagnosis:
    """What a log says of a VM that failed: `lines` to print, `facts` as `azready diagnose -o json` has them."""

    lines: tuple[str, ...]
    facts: Json


Diagnose = Callable[[bytes], Diagnosis]
"""Finds the cause that a serial console log shows; never raises. The command line passes it in."""


def fetcher(ca: str | None = None) -> Fetch:
    """A Fetch with the standard library."""
    context = ssl.create_default_context(cafile=ca)

    def fetch(url: str) -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=30, context=context) as answer:
                return bytes(answer.read(LARGEST))
        except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:  # the last names the address
            raise OSError(getattr(error, "reason", "") or type(error).__name__) from None

    return fetch


@dataclass(frozen=True)
class Heard:
    """A VM's console. `raw` is None when it cannot be had, and `text` says so."""

    text: str
    """Without control sequences."""
    raw: bytes | None = None

    def diagnosis(self, diagnose: Diagnose | None) -> Diagnosis | None:
        """What it says of a VM whose guest failed; None when nothing can be said."""
        return diagnose(self.raw) if diagnose and self.raw is not None else None


def read_console(client: Client, place: Place, vm: str, fetch: Fetch) -> Heard:
    """The console; a sentence in its place when it cannot be had. Raises nothing of Azure's."""
    try:
        raw = _fetched(client, place, vm, fetch)
    except AzureFailure as failure:
        return Heard(f"(the console cannot be read: {failure.code})")
    except Failure as failure:
        return Heard(f"(the console cannot be read: {failure.message})")
    except (OSError, ValueError) as error:
        return Heard(f"(the console cannot be read: {error})")
    return Heard(_CONTROL.sub("", raw.decode(errors="replace")), raw)


def fetch_log(client: Client, place: Place, vm: str, fetch: Fetch) -> bytes:
    """The console's bytes as Azure keeps them. Raises Failure, AzureFailure among them, when they cannot be had."""
    try:
        return _fetched(client, place, vm, fetch)
    except (OSError, ValueError) as error:
        raise Failure(
            f"the serial console of {vm} cannot be read: {error}",
            f"az vm boot-diagnostics enable -g {place.group} -n {vm}, then restart the VM: nothing is kept of before",
        ) from error


def _fetched(client: Client, place: Place, vm: str, fetch: Fetch) -> bytes:
    answer = client.send(console_log(place, vm)).body
    return fetch(str(answer.get("serialConsoleLogBlobUri") or ""))


def tail(text: str, lines: int = 20) -> str:
    """The last lines that are not empty."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


_VERDICT = re.compile(r"Provisioned \S+ in ([0-9.]+) s: reported Ready")


def guest_seconds(text: str) -> float | None:
    """The seconds that the guest program says its work took, from its last line on the console."""
    found = _VERDICT.findall(text)
    return float(found[-1]) if found else None
