"""`azready sysext OUT.raw`: the guest program as a system extension, for images whose /usr nobody changes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from azready.cli import outputs


def register(app: typer.Typer) -> None:
    app.command("sysext")(sysext)


def sysext(
    out: Annotated[Path, typer.Argument(metavar="OUT.raw", help="The extension to make; its file name is its name.")],
    guest: Annotated[
        Literal["python", "sh"], typer.Option(help="Which program: sh is for images without Python, and wants curl.")
    ] = "python",
    form: Annotated[
        Literal["squashfs", "erofs", "folder"],
        typer.Option("--format", help="What OUT is; a folder, without .raw, is merged by systemd as well."),
    ] = "squashfs",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace OUT if it exists.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what it would hold, and do nothing.")] = False,
    output: outputs.Both = None,
) -> None:
    """Make a system extension that provisions: systemd-sysext lays it over a /usr that nobody can change.

    Put it into /var/lib/extensions of the image and enable systemd-sysext.service there (docs/sysext.md).
    """
    from azready.image import sysext as extensions

    wanted = outputs.parse(output, outputs.BOTH, (out,), "azready sysext OUT.raw")
    name = extensions.extension_name(out, form)
    facts = {"target": str(out), "extension": name, "guest": guest, "format": form}
    if dry_run:
        holds = [f"/{entry.path}{f' -> {entry.to}' if entry.to else ''}" for entry in extensions.entries(guest, name)]
        outputs.tell(wanted, lambda: "\n".join(holds), lambda: facts | {"holds": holds})
        return
    size = extensions.make(out, guest, form, overwrite=yes)
    end = f"{out}: {size} bytes, the guest program {guest} as the extension {name} ({form})"
    outputs.tell(wanted, lambda: end, lambda: facts | {"sizeBytes": size})
