"""`azready convert DISK OUT.vhd`: the fixed VHD that Azure takes."""

from pathlib import Path

import typer

from azready.cli import outputs
from azready.console import Console


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)


def convert(
    disk: Path = typer.Argument(..., metavar="DISK", help="raw, qcow2, VMDK, VHDX, VDI or VHD; it is only read."),
    out: Path = typer.Argument(None, metavar="OUT.vhd", help="The fixed VHD to make; by default beside DISK."),
    verify: bool = typer.Option(False, "--verify", help="Compare every byte with DISK and read the VHD back."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Replace OUT.vhd if it exists."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, and do nothing."),
    output: outputs.Both = None,
    blank: bool = typer.Option(
        False, "--blank", help="Convert a disk that holds neither a partition table nor a file system too."
    ),
) -> None:
    """Make the fixed VHD that Azure takes: whole MiB, valid footer, backup GPT at the end, sparse on your disk."""
    from azready.image import conversion

    target = out if out is not None else disk.with_suffix(".vhd")
    wanted = outputs.parse(output, outputs.BOTH, (disk, target), "azready convert DISK OUT.vhd")
    console = Console()
    plan = conversion.plan(disk, blank)
    for warning in plan.warnings:
        console.warn(warning)
    if dry_run:
        lines = (*plan.lines(), f"would write {target}, {plan.file_size} bytes; nothing was done")
        outputs.tell(wanted, lambda: "\n".join(lines), lambda: {"plan": lines})
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
    end = f"{done.target}: {plan.file_size} bytes to upload, {done.allocated} on this disk{_checked(done.verified)}"
    outputs.tell(wanted, lambda: "\n".join((*plan.lines(), end)), lambda: facts)


def _checked(verified: bool) -> str:
    return "; compared with the source, no difference" if verified else ""
