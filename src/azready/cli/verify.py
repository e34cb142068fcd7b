"""`azready verify`: VMs from an image, without agent: Ready or not, and why."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import outputs
from azready.cli.azure_options import (
    DEFAULT_SIZE,
    Admin,
    Asked,
    Keep,
    Location,
    Plan,
    RunOptions,
    Size,
    SshKey,
    Subnet,
    Yes,
)
from azready.cli.records import takes

if TYPE_CHECKING:
    from azready.azure.instances import Instance
    from azready.azure.verify import Report, Wishes
    from azready.console import Console

MINUTES = 6.0
"""What a good run takes, for the estimate; a guest that stays silent costs up to 40 minutes more."""


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """What the command line says."""

    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Id of an image, a gallery definition or a version.")]
    location: Location
    group: Annotated[
        str, typer.Option("--resource-group", "-g", help="Use this group; by default one is made and removed.")
    ] = ""
    instances: Annotated[
        int, typer.Option("--instances", help="How many VMs; more than one: a flexible scale set.")
    ] = 1
    size: Size = DEFAULT_SIZE
    admin: Admin = "azureuser"
    ssh_key: SshKey = None  # type: ignore[assignment]
    public_ip: Annotated[
        bool, typer.Option("--public-ip", help="Give the VM a public address, with ssh open to --ssh-from.")
    ] = False
    ssh_from: Annotated[str, typer.Option("--ssh-from", help="With --public-ip: an address or CIDR, or auto.")] = "auto"
    subnet: Subnet = ""
    security_type: Annotated[
        str,
        typer.Option("--security-type", help="Standard or TrustedLaunch; by default what the gallery definition says."),
    ] = ""
    secure_boot: Annotated[
        bool,
        typer.Option(
            "--secure-boot/--no-secure-boot",
            help="With Trusted Launch: whether the firmware wants a signed boot loader.",
        ),
    ] = True
    plan: Plan = ""
    keep: Keep = False
    yes: Yes = False


@takes(Options)
def verify(given: Options) -> None:
    """Create VMs from an image without agent, wait until they are Ready, read their consoles, remove them.

    Exit code 0 when all became Ready, 1 when a guest failed, 3 when it could not be tried (Azure had no room, say) or
    when something could not be removed afterwards.
    """
    from azready.azure import preflight, verify
    from azready.cli import azure_options as options
    from azready.console import Console
    from azready.errors import Exit

    wanted = given.told(given.ssh_key)
    wishes = verify.Wishes(
        place=given.place(given.group, given.location),
        own_group=not given.group,
        name="azready",
        image=given.image,
        size=given.size,
        admin=given.admin,
        public_key="",
        instances=given.instances,
        security_type=options.one_of("--security-type", given.security_type, ("", "Standard", "TrustedLaunch")),
        ssh_from=given.ssh_from if given.public_ip else "",
        keep=given.keep,
        secure_boot=given.secure_boot,
        plan=preflight.parse_plan(given.plan),
        subnet=given.subnet,
    )
    asked = given.asked
    console = Console()
    if given.role:
        options.print_role("verify", asked, verify.rights_of(_named(wishes, "RUN", "SUBSCRIPTION")), console)
        return
    if given.dry_run:
        _print_plan(wishes, asked, wanted)
        return
    try:
        report = _run(wishes, asked, console, given.ssh_key, given.state, given.yes)
    except verify.NotRemoved as failure:
        _render(failure.report, wanted)
        raise
    _render(report, wanted)
    if report.outcome != "ready":
        raise typer.Exit(Exit.NEGATIVE if report.outcome == "not ready" else Exit.UNABLE)


def _named(wishes: "Wishes", run: str, subscription: str) -> "Wishes":
    """The wishes with the run's own names and tags."""
    from azready.azure import verify
    from azready.azure.requests.model import RUN_TAG

    place = replace(
        wishes.place,
        subscription=subscription,
        group=wishes.place.group or f"azready-verify-{run}",
        tags=(*wishes.place.tags, (RUN_TAG, run)),
    )
    ready = replace(wishes, place=place, name=f"azready-{run}")
    verify.check(ready)
    return ready


def _print_plan(wishes: "Wishes", asked: Asked, wanted: "outputs.Wanted") -> None:
    from azready.azure import verify
    from azready.cli import azure_options as options

    endpoint, found = options.planned_place(asked)
    planned = replace(_named(wishes, "RUN", found), public_key="<public key>")
    if planned.ssh_from == "auto":
        planned = replace(planned, ssh_from="<this machine>")
    steps = [*verify.plan(planned), *([] if planned.keep else verify.clean_up(planned))]
    options.print_plan(steps, endpoint, wanted)


def _run(
    wishes: "Wishes", asked: Asked, console: "Console", ssh_key: Path | None, state: Path | None, yes: bool
) -> "Report":
    from azready.azure import keys, prices, verify
    from azready.azure.console_log import fetcher
    from azready.azure.own_address import source_of_ssh
    from azready.azure.reach import ssh_answers
    from azready.azure.state import telling_leftovers
    from azready.azure.steps import Runner
    from azready.cli import azure_options as options
    from azready.pipelines.console_log import diagnose

    inputs = {
        "image": wishes.image,
        "location": wishes.place.location,
        "instances": str(wishes.instances),
        "size": wishes.size,
        "security type": wishes.security_type,
        "secure boot": str(wishes.secure_boot),
        "subnet": wishes.subnet,
        "public address": str(bool(wishes.ssh_from)),
        "plan": str(wishes.plan or ""),
    }
    name = hashlib.sha256("\n".join(inputs.values()).encode()).hexdigest()[:8]
    file = options.open_state(state, "verify", wishes.place.group or "own", name, inputs, False, console)
    named = _named(wishes, file.run.id, "")
    own_key = ssh_key is None
    key = file.path.with_suffix(".key") if ssh_key is None else ssh_key.expanduser()
    session = options.open_session(asked, console)
    named = replace(named, place=replace(named.place, subscription=session.subscription))
    cost = prices.estimate(
        session.cloud.prices, named.place.location, named.size, named.instances, MINUTES, prices.fetch_json
    )
    console.say(f"{cost}; a guest that never reports takes up to 40 minutes more")
    options.confirm("Create them?", yes)
    ready = replace(
        named,
        public_key=keys.make(key) if own_key else keys.read_public(key),
        ssh_from=source_of_ssh(named.ssh_from, console.say) if named.ssh_from else "",
    )
    with telling_leftovers(file, console):
        runner = Runner(session.client, file, console)
        probes = verify.Probes(fetcher(session.ca), diagnose, ssh_answers)
        report = verify.run(ready, runner, session.client, console, probes)
    if ready.keep:
        console.say(f"Kept in {ready.place.group}, with the key {key}; listed in {file.path}")
        return report
    file.forget()
    if own_key:
        keys.forget(key)
    return report


def _render(report: "Report", wanted: outputs.Wanted) -> None:
    outputs.tell(wanted, lambda: "\n".join(_lines(report)), lambda: _facts(report))


def _facts(report: "Report") -> dict[str, object]:
    from dataclasses import asdict

    instances = [
        asdict(item) | {"diagnosis": item.diagnosis.facts if item.diagnosis else None} for item in report.instances
    ]
    return {
        "image": report.image,
        "allReady": report.all_ready,
        "outcome": report.outcome,
        "asked": report.asked,
        "error": report.error,
        "instances": instances,
    }


def _lines(report: "Report") -> Iterator[str]:
    for instance in report.instances:
        yield _line(instance)
        yield from (f"    {line}" for line in (instance.diagnosis.lines if instance.diagnosis else ()))
        yield from (f"    | {line}" for line in instance.console.splitlines())
    yield str(report)
    if report.outcome == "untried":
        yield "this says nothing of the image: " + (report.error.splitlines() or ["Azure has not finished"])[0]


def _line(instance: "Instance") -> str:
    times = []
    if instance.seconds is not None:
        times.append(f"{instance.seconds:.0f} s after its creation")
    if instance.guest_seconds is not None:
        times.append(f"{instance.guest_seconds:.2f} s of the guest's own work")
    if instance.ready and not instance.owes_report:
        times.append(
            "its ssh server answers" if instance.reached else "not tried whether it can be reached (--public-ip)"
        )
    if instance.ready:
        word = "Ready" if instance.owes_report else "running"
        return f"{instance.name}: {word}" + (f", {', '.join(times)}" if times else "")
    return f"{instance.name}: {instance.code}: {instance.message}"
