"""`azready convert DISK OUT.vhd`: the fixed VHD that Azure takes."""

from pathlib import Path

import typer

from azready.cli.documents import as_json
from azready.console import Console
from azready.errors import UsageFailure


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)


def convert(
    disk: Path = typer.Argument(..., metavar="DISK", help="raw, qcow2, VMDK, VHDX, VDI or VHD; it is only read."),
    out: Path = typer.Argument(None, metavar="OUT.vhd", help="The fixed VHD to make; by default beside DISK."),
    verify: bool = typer.Option(False, "--verify", help="Compare every byte with DISK and read the VHD back."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Replace OUT.vhd if it exists."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, and do nothing."),
    output: str = typer.Option("text", "--output", "-o", metavar="text|json", help="Form of the result on stdout."),
    blank: bool = typer.Option(
        False, "--blank", help="Convert a disk that holds neither a partition table nor a file system too."
    ),
) -> None:
    """Make the fixed VHD that Azure takes: whole MiB, valid footer, backup GPT at the end, sparse on your disk."""
    from azready.image import conversion

    if output not in ("text", "json"):
        raise UsageFailure(f"--output is {output!r}", "use text or json")
    console = Console()
    target = out if out is not None else disk.with_suffix(".vhd")
    plan = conversion.plan(disk, blank)
    for warning in plan.warnings:
        console.warn(warning)
    if dry_run:
        for line in (*plan.lines(), f"would write {target}, {plan.file_size} bytes; nothing was done"):
            print(line)
        return
    conversion.check_target(disk, target, yes)
    with console.transfer(f"Convert {disk} to {target}", plan.disk_size) as advance:
        done = conversion.convert(plan, target, verify=verify, overwrite=yes, advance=advance)
    facts = {
        "target": str(done.target),
        "source": str(plan.source),
        "format": plan.disk.format,
        "virtualSizeBytes": plan.virtual_size,
        "uploadSizeBytes": plan.file_size,
        "allocatedBytes": done.allocated,
        "backupGptMoved": plan.moves_backup_gpt,
        "hyperVGenerations": [f"V{number}" for number in plan.generations],
        "verified": done.verified,
        "warnings": list(plan.warnings),
    }
    if output == "json":
        print(as_json(facts))
        return
    for line in plan.lines():
        print(line)
    print(f"{done.target}: {plan.file_size} bytes to upload, {done.allocated} on this disk{_checked(done.verified)}")


def _checked(verified: bool) -> str:
    return "; compared with the source, no difference" if verified else ""
