"""`azready diagnose LOG`: why a VM in Azure was not provisioned, from its serial console log."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from azready.cli import outputs
from azready.cli.azure_options import Auth, CloudName, Subscription
from azready.errors import Exit, UsageFailure

Log = Annotated[
    Path | None, typer.Argument(metavar="[LOG]", help="The log, as boot diagnostics gives it; - for standard input.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("diagnose")(diagnose)


def diagnose(
    log: Log = None,
    vm: Annotated[str, typer.Option("--vm", metavar="NAME", help="Ask Azure for the log of this VM instead.")] = "",
    group: Annotated[str, typer.Option("--resource-group", "-g", help="The group of --vm.")] = "",
    subscription: Subscription = "",
    cloud: CloudName = "",
    auth: Auth = "auto",
    output: outputs.Both = None,
) -> None:
    """Say why a VM in Azure was not provisioned, from its serial console log: the cause, the lines, the fix.

    Exit code 0 when the log shows no cause, 1 when it shows one, 3 when it could not be had.

    Example: az vm boot-diagnostics get-boot-log -n VM -g GROUP | azready diagnose -
    """
    from azready.boot.console_log import diagnose as diagnosis_of

    if (log is None) == (not vm):
        raise UsageFailure(
            "give a LOG or --vm NAME, one of them", "az vm boot-diagnostics get-boot-log -n VM -g GROUP > LOG"
        )
    if vm and not group:
        raise UsageFailure("--vm needs its group", "add --resource-group GROUP")
    wanted = outputs.parse(output, outputs.BOTH, (log,))
    found = diagnosis_of(_read(log) if log is not None else _fetch(vm, group, subscription, cloud, auth))
    outputs.write(wanted, {"text": lambda: "\n".join(found.lines()), "json": found.as_json})
    if found.cause is not None:
        sys.exit(Exit.NEGATIVE)


def _read(log: Path) -> bytes:
    from azready.boot.console_log.reading import LARGEST

    if str(log) == "-":
        return sys.stdin.buffer.read(LARGEST)
    if log.is_dir():
        raise UsageFailure(f"{log} is a folder", "give the file that holds the log")
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LARGEST) if size > LARGEST else 0)
        return file.read(LARGEST)


def _fetch(vm: str, group: str, subscription: str, cloud: str, auth: str) -> bytes:
    from azready.azure.console_log import fetch_log, fetcher
    from azready.azure.requests.model import Place
    from azready.cli import azure_options as options
    from azready.console import Console

    session = options.open_session(options.Asked(subscription, cloud, auth), Console())
    return fetch_log(session.client, Place(session.subscription, group, ""), vm, fetcher(session.ca))
