"""`azready demo`: the whole story on a small real image, with no Azure account."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from azready.console import Console
from azready.errors import Exit

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from azready.pipelines.demo import Chapter, Scratch, Story


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    scratch: Annotated[bool, typer.Option("--scratch", help="Only the part that needs no image and no tools.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Fail where less than the whole story can be told.")] = False,
) -> None:
    """Watch a real Debian image lose its Azure agent, boot without one, and be provisioned by a local Azure.

    Downloads about 60 MB from Debian's mirror the first time. Nothing leaves this machine besides, and nothing of it
    is changed. Where tools or rights are missing it shows less, and says what it left out.
    Exit code: 0 all went well, 1 it did not, 3 this machine could not boot it (or not show the `--whole`).
    """
    from rich.console import Console as RichConsole

    from azready.errors import Failure
    from azready.pipelines.demo import missing, tell

    out, console, began = RichConsole(highlight=False, soft_wrap=True), Console(), time.monotonic()
    lacking = "asked for with --scratch" if scratch else missing()
    if not lacking:
        try:
            story = tell(console, lambda chapter, when: _print_chapter(out, chapter, when))
        except Failure as failure:
            lacking = f"{failure.message}\n  {failure.hint}"
        else:
            _print_story(out, story, time.monotonic() - began)
            undecided = any(record.undecided for record in story.records)
            sys.exit(Exit.OK if story.passed else Exit.UNABLE if undecided else Exit.NEGATIVE)
    if whole:
        raise Failure("the whole story cannot be told here", lacking)
    from azready.pipelines.demo import tell_scratch

    done = tell_scratch(console)
    _print_scratch(out, done, lacking)
    sys.exit(Exit.OK if done.passed else Exit.NEGATIVE)


def _print_chapter(out: "RichConsole", chapter: "Chapter", when: str) -> None:
    if when == "before":
        out.print(f"\n[bold]An image with an agent:[/] {chapter.distribution}")
        package = [found.partition(": ")[2] for found in chapter.found if ": package" in found]
        traces = [found.partition(": ")[2] for found in chapter.found if ": package" not in found]
        for found in [
            *package,
            *(found for found in traces if found.startswith(("enabled unit", "program", "state /"))),
        ]:
            out.print(f"  [yellow]●[/] {found}")
        out.print(f"    and {len(traces)} traces of it in files", style="dim")
        return
    out.print("\n[bold]The same image after[/] azready prepare TREE")
    out.print(f"  [green]●[/] {chapter.changes} changes; agents left: {', '.join(chapter.found) or 'none'}")
    for note in chapter.notes:
        out.print(f"    {note}", style="dim", markup=False)


def _print_story(out: "RichConsole", story: "Story", seconds: float) -> None:
    from azready.boot.drawing.terminal import conclusion, draw

    out.print("\n[bold]Its first boot,[/] in a container with systemd as PID 1 and a local Azure at Azure's addresses")
    draw(story.records[0], out)
    for record, title in zip(
        story.records[1:], ("Its second boot", "A copy of the used disk, as a new VM"), strict=False
    ):
        out.print(f"\n[bold]{title}[/]")
        for line in conclusion(record):
            out.print(line)
    verdict = "provisioned without an agent" if story.passed else "this went wrong: please report it"
    if any(record.undecided for record in story.records):
        verdict = "this machine could not boot it to the end"
    out.print(f"\n[bold]In {seconds:.0f} s:[/] an image that needed waagent, {verdict}.")
    if story.passed:
        out.print("Next: azready prepare --dry-run TARGET shows what it would do to yours;", style="dim")
        out.print("      azready boot TREE|DISK boots yours as this one was booted.", style="dim")


def _print_scratch(out: "RichConsole", done: "Scratch", lacking: str) -> None:
    from azready.fabric.render import entry_line
    from azready.pipelines.demo import LEFT_OUT

    out.print("\n[bold]The short demo:[/] the guest program provisions a scratch tree against a local Azure")
    where = "168.63.129.16 and 169.254.169.254, in a network of its own" if done.enclosed else "loopback ports"
    out.print(f"  at {where}\n", style="dim")
    for line in done.said:
        out.print(f"  {line}", markup=False)
    out.print("\n[bold]What the platform saw[/]")
    for exchange in done.exchanges:
        out.print(entry_line(exchange), markup=False)
    out.print(f"\n[bold]Files in the tree now[/]\n  {'  '.join(done.wrote)}")
    style = "bold green" if done.passed else "bold red"
    out.print(f"{'✔' if done.passed else '✘'} {done.verdict}", style=style)
    out.print("\n[bold yellow]Left out:[/] " + "; ".join(LEFT_OUT))
    out.print(f"  because: {lacking}", style="dim", markup=False)
