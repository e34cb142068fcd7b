"""`azready build INPUT OUT.vhd`: from a disk to the VHD for Azure, proven on the way."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from azready.cli import outputs
from azready.cli.additions import CopyIn, InOrder, Install, RunCommand, SshInject, additions
from azready.cli.live import Web, onlooker
from azready.cli.prepare import Setting
from azready.cli.records import takes
from azready.console import Console
from azready.errors import UsageFailure

if TYPE_CHECKING:
    from azready.image.parts.additions import Addition
    from azready.pipelines.build import Built, Options

Source = Annotated[Path, typer.Argument(metavar="INPUT", help="A disk file: raw, qcow2, VHD, VHDX; it is only read.")]
Out = Annotated[Path | None, typer.Argument(metavar="OUT.vhd", help="The fixed VHD to make.", show_default=False)]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="OUT.vhd", help="The same, as an option.")]
User = Annotated[list[str] | None, typer.Option("--user", "-u", help="Remove this user of the image; repeatable.")]
Fix = Annotated[bool, typer.Option("--fix", help="Also fix settings that `azready check` finds.")]
Waivers = Annotated[Path | None, typer.Option("--waivers", help="A TOML file of accepted findings, with reasons.")]
MachineFile = Annotated[Path | None, typer.Option("--machine", help="A TOML file of the VM to boot it as.")]
Boots = Annotated[int, typer.Option(min=1, max=9, help="Boots of the test; 2 shows that the second is silent.")]
Deadline = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="How long the test waits for the report, exactly.")
]
Accel = Annotated[
    Literal["auto", "kvm", "tcg"],
    typer.Option(help="The test's boot: auto is KVM where a trial guest runs under it, else emulation (tcg)."),
]
Skip = Annotated[list[str] | None, typer.Option("--skip", help="Leave prepare, generalize or boot out; repeatable.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Replace OUT.vhd if it exists.")]
KeepWork = Annotated[bool, typer.Option("--keep-work", help="Keep the work folder OUT.vhd.build.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("build", cls=InOrder)(build)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    ctx: typer.Context
    source: Source
    out: Out = None
    out_option: OutOption = None
    user: User = None
    setting: Setting = None
    install: Install = None
    copy_in: CopyIn = None
    run: RunCommand = None
    ssh_inject: SshInject = None
    fix: Fix = False
    waivers: Waivers = None
    machine: MachineFile = None
    boots: Boots = 1
    deadline: Deadline = None
    accel: Accel = "auto"
    skip: Skip = None
    dry_run: DryRun = False
    yes: Yes = False
    keep_work: KeepWork = False
    web: Web = False
    output: outputs.Both = None


@takes(Asked)
def build(given: Asked) -> None:
    """Prepare, generalize, check, boot and convert a copy of INPUT; beside OUT.vhd a manifest and an SBOM.

    Run again after an interruption or a failure, it goes on after the last step that ended.
    Exit code: 0 made, 1 check or boot said no, 2 wrong usage, 3 could not be done here.
    """
    from azready.cli.check import read_waivers
    from azready.fabric.machine import Machine, load
    from azready.image import preparation, sealing
    from azready.image.parts.guest_program import parse_settings
    from azready.image.targets.spec import enter_namespace_for
    from azready.pipelines import build

    target, wanted = _asked(given.source, given.out, given.out_option, given.output or [])
    added = additions(
        given.ctx, install=given.install, copy_in=given.copy_in, run=given.run, ssh_inject=given.ssh_inject
    )
    _require_sane(given.deadline, given.skip or [], added, given.ssh_inject)
    if given.web and "boot" in (given.skip or ()):
        raise UsageFailure("--web shows the boot, which --skip leaves out", "leave one of the two out")
    options = build.Options(
        prepare=preparation.Options(settings=parse_settings(given.setting or []), added=added),
        generalize=sealing.Options(tuple(given.user or ()), given.fix),
        waivers=read_waivers(given.waivers),
        machine=Machine() if given.machine is None else load(given.machine),
        boots=given.boots,
        deadline=given.deadline,
        accel=given.accel,
        skip=frozenset(given.skip or ()),
        overwrite=given.yes,
        keep_work=given.keep_work,
    )
    enter_namespace_for(str(given.source), changes=not given.dry_run and not {"prepare", "generalize"} <= options.skip)
    if given.dry_run:
        lines = build.plan_lines(given.source, target, options)
        outputs.tell(wanted, lambda: "\n".join(lines), lambda: {"plan": lines})
        return
    _build(given.source, target, options, wanted, given.web)


def _build(source: Path, target: Path, options: "Options", wanted: outputs.Wanted, web: bool) -> None:
    from azready.pipelines import build

    console = Console()
    try:
        with onlooker(str(target), web, console) as who:
            built = build.build(source, target, options, console, who)
    except KeyboardInterrupt:
        console.say("interrupted: the same command goes on with the step that was under way")
        raise
    forms = {
        "text": lambda: "\n".join(_lines(built)),
        "json": lambda: json.dumps(built.manifest, indent=2, ensure_ascii=False),
    }
    outputs.write(wanted, forms)


def _require_sane(
    deadline: float | None, skip: list[str], added: "Sequence[Addition]", ssh_inject: list[str] | None
) -> None:
    if deadline is not None and deadline <= 0:
        raise UsageFailure(f"--deadline is {deadline:g}", "give a number of seconds above 0")
    if unknown := set(skip) - {"prepare", "generalize", "boot"}:
        raise UsageFailure(f"--skip cannot be {', '.join(sorted(unknown))}", "use prepare, generalize or boot")
    if added and "prepare" in skip:
        raise UsageFailure("what is put in is put in by prepare, which --skip leaves out", "leave one of the two out")
    if ssh_inject and "generalize" not in skip:
        raise UsageFailure(
            "generalize takes every key away again, so --ssh-inject would have no effect",
            "a VM has the keys that it is created with; or keep the image's own with --skip generalize",
        )


def _asked(source: Path, out: Path | None, option: Path | None, words: list[str]) -> tuple[Path, outputs.Wanted]:
    """The VHD to make, and the forms to say it in. `-o OUT.vhd`, as it was written before 0.3, still means the VHD."""
    former = [word for word in words if "=" not in word and word.lower().endswith(".vhd")]
    named = [each for each in (out, option, *map(Path, former)) if each is not None]
    if len(named) != 1:
        raise UsageFailure("build makes one VHD", "name it once: azready build DISK OUT.vhd")
    forms = (word for word in words if word not in former)
    return named[0], outputs.parse(forms, outputs.BOTH, (source, *named), "azready build DISK OUT.vhd")


def _lines(built: "Built") -> Iterator[str]:
    image = built.manifest["image"]
    yield f"{built.image}: {image['uploadSizeBytes']} bytes to upload, {', '.join(image['hyperVGenerations'])}"
    yield f"  sha256 {image['sha256']}"
    yield f"  {built.manifest_file}: what was done, and the verdicts"
    yield f"  {built.sbom_file}: {built.manifest['steps']['check']['packages']} packages"
    if built.boot_page is not None:
        yield f"  {built.boot_page}: what happened in the boot; beside it as JUnit, and for azready timeline"
