"""`azready boot`: boots an image in the local Azure, and says what Azure would have said."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from azready.cli import outputs
from azready.cli.live import Web, onlooker
from azready.cli.records import takes
from azready.cli.vm import VmOptions
from azready.console import Console
from azready.errors import Exit, UsageFailure

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from azready.boot.record import BootRecord
    from azready.boot.series import Onlooker, Plan
    from azready.fabric.faults import Fault
    from azready.fabric.machine import Machine
    from azready.fabric.settings import Settings

Target = Annotated[Path, typer.Argument(help="A root tree (directory), or a disk file.", show_default=False)]
Deadline = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long the platform waits for the report, exactly. Otherwise 120, for a disk 600; more where "
        "this machine emulates slowly, and while the guest makes progress.",
    ),
]
Boots = Annotated[int, typer.Option(min=1, max=9, help="Boots of the same VM; from the second on nothing is reported.")]
Recapture = Annotated[bool, typer.Option("--recapture", help="Then boot the used image once more, as a new VM.")]
Heal = Annotated[bool, typer.Option("--heal", help="The platform misbehaves in the first boot only.")]
Keep = Annotated[bool, typer.Option("--keep", help="Stay up after the last boot, and say how to log in.")]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        metavar="JUDGE",
        help="Then let others judge the VM: lisa, testinfra:FILE, or a COMMAND that finds it in AZREADY_ADDRESS …",
    ),
]
WireServer = Annotated[str, typer.Option(metavar="ADDRESS", help="The WireServer's address, told by DHCP option 245.")]
Init = Annotated[str, typer.Option(metavar="COMMAND", help="PID 1 of a tree, instead of its /sbin/init.")]
SshCheck = Annotated[bool, typer.Option("--ssh-check/--no-ssh-check", help="Log in as the admin user, with a new key.")]
AgentReport = Annotated[bool, typer.Option("--agent-report", help="Print who provisioned, when, and what it asked.")]
Report = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the timeline as one self-contained page.")]
DhcpOptions = Annotated[
    bool, typer.Option("--dhcp-options", help="Disk: Azure's whole DHCP (options 121 and 245, several NICs) by taps.")
]
DiskBus = Annotated[
    Literal["virtio", "nvme", "scsi", "sata"] | None,
    typer.Option("--bus", help="Disk: how the guest sees its OS disk. Default: as the size has it, or virtio."),
]
Size = Annotated[
    str, typer.Option(metavar="NAME", help="VM size, for example Standard_D4s_v6: its disk controller and generation.")
]
Accel = Annotated[
    Literal["auto", "kvm", "tcg"],
    typer.Option(help="Disk: auto is KVM where a trial guest runs under it, else emulation (tcg)."),
]
Memory = Annotated[int, typer.Option(metavar="MIB", min=64, help="Disk: memory of the virtual machine.")]
ConsoleFile = Annotated[Path | None, typer.Option("--console", metavar="FILE", help="Disk: keep the serial console.")]
FORMS = ("text", "json", "junit", "html")
Outputs = Annotated[list[str] | None, outputs.option(FORMS)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("boot")(boot)


@dataclass(frozen=True, kw_only=True)
class Options(VmOptions):
    """What the command line says."""

    target: Target
    size: Size = ""
    deadline: Deadline = None
    boots: Boots = 2
    recapture: Recapture = False
    heal: Heal = False
    keep: Keep = False
    judge: Judges = None
    wireserver: WireServer = "168.63.129.16"
    init: Init = ""
    ssh_check: SshCheck = True
    agent_report: AgentReport = False
    dhcp_options: DhcpOptions = False
    bus: DiskBus = None
    memory: Memory = 1024
    accel: Accel = "auto"
    console_file: ConsoleFile = None
    report: Report = None
    web: Web = False
    output: Outputs = None


@takes(Options, inherited_first=True)
def boot(given: Options) -> None:
    """Boot an image against a local Azure: is it provisioned, and what happened when?

    A directory boots in a container with its own init as PID 1, a disk file in QEMU; neither is changed, and nothing
    of it can reach any network. Works without root (see docs/boot.md).
    Exit code: 0 every boot went as it should, 1 it did not, 2 wrong usage, 3 this machine failed: no verdict.
    """
    from azready.fabric.settings import resolve

    size = (f"size={given.size}",) if given.size else ()
    effective = resolve(replace(given.vm, set=(*(given.set_ or ()), *size)), given.settings)
    plan = _plan(given, effective)
    apart = (given.target, given.machine, given.settings, given.report, given.console_file)
    wanted = outputs.parse(given.output, FORMS, apart)
    for path in filter(None, (given.report, given.console_file)):
        outputs.require_writable(path)
    console = Console()
    for warning in _left_out(given.target.is_dir(), effective.faults):
        console.warn(warning)
    with onlooker(str(given.target), given.web, console) as who:
        boot_it = _boot_tree if given.target.is_dir() else _boot_disk
        records = boot_it(given, effective.machine, plan, console, who)
    outputs.write(wanted, _forms(records, given.heal, given.agent_report, plain=wanted.get("text") is not None))
    if given.report is not None:
        _write_report(given.report, records, console)
    _end(records, given.heal, effective, console)


def _end(records: "tuple[BootRecord, ...]", heal: bool, effective: "Settings", console: Console) -> None:
    """Exit with what it came to; where faults had a part in it, say how they come again."""
    if undecided(records):
        sys.exit(Exit.UNABLE)
    if not passed(records, heal):
        from azready.fabric.render import repeat_line

        if effective.faults:
            console.say(f"to repeat: {repeat_line(sys.argv[1:], effective.seed)}")
        sys.exit(Exit.NEGATIVE)


def _left_out(container: bool, faults: "Sequence[Fault]") -> Iterator[str]:
    """What of the faults this kind of boot cannot carry out."""
    if container and any(fault.service == "clock" for fault in faults):
        yield "a container has this machine's clock: faults of the clock need a disk, and are left out"
    if container and any(fault.service == "media" and fault.delay for fault in faults):
        yield "a container has no drive: its medium is there from the start"
    if not container and any(fault.service == "guest" for fault in faults):
        yield "a disk's network is its own: faults of the guest need a tree, and are left out"


def undecided(records: "tuple[BootRecord, ...]") -> bool:
    """Whether this machine failed in a boot, so that the series says nothing of the image."""
    return any(record.undecided for record in records)


def passed(records: "tuple[BootRecord, ...]", heal: bool) -> bool:
    """Whether all went well; where the platform healed, only what came after counts."""
    counting = records[1:] if heal else records
    return bool(counting) and all(record.passed for record in counting)


def _plan(given: Options, effective: "Settings") -> "Plan":
    """Raises UsageFailure for what cannot be."""
    from ipaddress import IPv4Address

    from azready.boot.judging.judges import judge
    from azready.boot.network.links import Network
    from azready.boot.series import Plan

    if given.deadline is not None and given.deadline <= 0:
        raise UsageFailure(f"--deadline is {given.deadline:g}", "give a number of seconds above 0")
    for word in given.judge or ():
        judge(word, "container")
    if given.heal and given.boots + given.recapture < 2:
        raise UsageFailure("--heal needs a boot after the first", "add --boots 2 or --recapture")
    try:
        network = Network(subnet=effective.machine.subnet, wireserver=str(IPv4Address(given.wireserver)))
    except ValueError as error:
        raise UsageFailure(f"--wireserver {given.wireserver}: {error}", "give an IPv4 address") from error
    return Plan(
        deadline=given.deadline,
        boots=given.boots,
        recapture=given.recapture,
        faults=effective.faults,
        heal=given.heal,
        strict=effective.strict,
        seed=effective.seed,
        network=network,
        init=given.init,
        login=given.ssh_check,
        keep=given.keep,
        judges=tuple(given.judge or ()),
    )


def _boot_tree(
    given: Options, machine: "Machine", plan: "Plan", console: Console, who: "Onlooker"
) -> "tuple[BootRecord, ...]":
    from azready.boot.container.tree import boot_tree

    # While the container is made: what draws the records in the end.
    threading.Thread(target=importlib.import_module, args=("azready.boot.drawing.terminal",), daemon=True).start()
    return boot_tree(given.target, machine, plan, console, who)


def _boot_disk(
    given: Options, machine: "Machine", plan: "Plan", console: Console, who: "Onlooker"
) -> "tuple[BootRecord, ...]":
    from azready.boot.qemu.command import Hardware
    from azready.pipelines import bootdisk

    if not given.target.exists():
        raise UsageFailure(f"{given.target} does not exist", "give a root tree (directory) or a disk file")
    hardware = Hardware(
        bus=given.bus or ("nvme" if machine.hardware.controller == "NVMe" else "virtio"),
        memory=given.memory,
        network="tap" if given.dhcp_options else "user",
        accel=given.accel,
    )
    return bootdisk.boot(
        given.target, machine, plan, console, hardware=hardware, keep_console=given.console_file, onlooker=who
    )


def _write_report(report: Path, records: "tuple[BootRecord, ...]", console: Console) -> None:
    from azready.boot.drawing.page import page
    from azready.cli.timeline import write_page

    write_page(report, page(records), console)


def _forms(
    records: "tuple[BootRecord, ...]", heal: bool, agent_report: bool, plain: bool
) -> "Mapping[str, Callable[[], str]]":
    from azready.boot.record import document

    def junit() -> str:
        from azready.boot.drawing.junit import as_junit

        return as_junit(records)

    def html() -> str:
        from azready.boot.drawing.page import page

        return page(records)

    def data() -> str:
        outcome = None if undecided(records) else passed(records, heal)
        return document(records, outcome)

    return {
        "text": lambda: _as_text(records, agent_report, plain),
        "json": data,
        "junit": junit,
        "html": html,
    }


def _as_text(records: "tuple[BootRecord, ...]", agent_report: bool, plain: bool) -> str:
    from azready.boot.drawing.terminal import draw, presentable

    def each(out: "RichConsole") -> None:
        for record in records:
            if agent_report:
                from azready.boot.drawing.agent_report import report_lines

                out.print("\n".join(report_lines(presentable(record))), markup=False)
            else:
                draw(record, out)

    return outputs.drawn(plain, each)
