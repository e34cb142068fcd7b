"""The state file of a run: what it was asked for, which steps are done, what was created.

It lies outside Azure so that a run that was cut off at any point goes on where it stopped: the file says which
one-time steps are done, the tag on every resource says which run made it. A resource is written down *before* it is
asked for: if the answer is lost, it is listed all the same. No secret is ever written here.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from azready import durable, locks
from azready.azure import keys, known
from azready.azure.known import Known
from azready.azure.requests.model import removal
from azready.console import Console
from azready.errors import Failure, UsageFailure


@dataclass(frozen=True)
class Run:
    """A run as the file holds it. Values are replaced, never changed."""

    verb: str
    id: str
    inputs: tuple[tuple[str, str], ...]
    done: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    """Ids of resources, in the order of their creation."""
    known: Known = field(default_factory=Known)


class StateFile:
    """The file of one run. Everything that changes it writes it whole, beside it, and renames."""

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self.run = run

    def finish_step(self, step: str, known: Known) -> None:
        done = self.run.done if step in self.run.done else (*self.run.done, step)
        self._write(replace(self.run, done=done, known=known))

    def expect(self, resource: str) -> None:
        """`resource` is about to be created."""
        if resource not in self.run.created:
            self._write(replace(self.run, created=(*self.run.created, resource)))

    def removed(self, resource: str) -> None:
        """`resource` is gone; with a group or a VM goes what is in it."""
        gone = resource.lower()
        left = tuple(
            item for item in self.run.created if item.lower() != gone and not item.lower().startswith(gone + "/")
        )
        self._write(replace(self.run, created=left))

    def _write(self, run: Run) -> None:
        self.run = run
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.path.with_suffix(".tmp")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(run), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        durable.rename(beside, self.path)

    def forget(self) -> None:
        """The run ended well and left nothing to do."""
        self.path.unlink(missing_ok=True)


def default_path(environment: Mapping[str, str], verb: str, group: str, name: str) -> Path:
    """Where a run's state is kept unless --state says otherwise: XDG's state folder."""
    home = environment.get("XDG_STATE_HOME") or f"{environment.get('HOME', '/')}/.local/state"
    return Path(home) / "azready" / f"{verb}-{group}-{name}.json"


def open_run(path: Path, verb: str, inputs: Mapping[str, str], restart: bool) -> StateFile:
    """Go on with the run in `path`, or begin one. Raises UsageFailure when the file is for other inputs."""
    asked = tuple((key, value) for key, value in inputs.items())
    if restart or not path.exists():
        return StateFile(path, Run(verb, uuid.uuid4().hex[:8], asked))
    run = read_run(path)
    before = dict(run.inputs)
    changed = [key for key in {**before, **inputs} if before.get(key) != inputs.get(key)]
    if run.verb != verb or changed:
        if not run.created:  # it made nothing: there is nothing to go on with
            return StateFile(path, Run(verb, uuid.uuid4().hex[:8], asked))
        what = ", ".join(f"{key} was {before.get(key, '')!r}" for key in changed) or f"it is of `{run.verb}`"
        raise UsageFailure(
            f"{path} is the state of an unfinished run with other options: {what}",
            "give the same options to go on with it, or --restart to forget it (what it left behind is listed there)",
        )
    return StateFile(path, run)


def read_run(path: Path) -> Run:
    """What a state file says. Raises UsageFailure when it is not one."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        run = Run(
            table["verb"],
            table["id"],
            tuple((key, value) for key, value in table["inputs"]),
            tuple(table["done"]),
            tuple(table["created"]),
            known.from_json(table["known"]),
        )
        leftovers(run)  # each must be such as can be removed
        return run
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageFailure(
            f"{path} is not a state file of azready: {error}", "remove it, or give another with --state"
        ) from error


def open_or_restart(
    path: Path, verb: str, inputs: Mapping[str, str], restart: bool, say: Callable[[str], None]
) -> StateFile:
    """`open_run`; what a run that is forgotten left behind is said."""
    if restart and path.exists():
        forgotten = leftovers(read_run(path))
        if forgotten:
            say(f"The forgotten run {forgotten}")
    return open_run(path, verb, inputs, restart)


def leftovers(run: Run) -> str:
    """What a run left behind, with the command that removes each, newest first; empty when there is nothing."""
    if not run.created:
        return ""
    lines = [f"    {' '.join(removal(item))}" for item in reversed(run.created)]
    return "left behind (remove with):\n" + "\n".join(lines)


@contextmanager
def telling_leftovers(state: StateFile, console: Console) -> Iterator[None]:
    """On a failure or Ctrl-C: say what exists because of this run, with the command that removes each."""
    if state.run.done:
        console.say(f"Going on with run {state.run.id}: {len(state.run.done)} steps are done ({state.path})")
    try:
        with alone(state.path):
            yield
    except Failure as failure:
        left = leftovers(state.run)
        if left:
            failure.hint += f"\n  {left}"
        else:
            state.forget()
            keys.forget(state.path.with_suffix(".key"))
        raise
    except KeyboardInterrupt:
        left = leftovers(state.run)
        if left:
            console.warn(f"interrupted; the same command goes on where it stopped. {left}")
        raise


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else works on the run of this state file meanwhile. Raises Failure when somebody does."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_suffix(".lock")
    with lock.open("w") as file:
        try:
            locks.hold(file)
        except BlockingIOError:
            raise Failure(f"another azready works on {path}", "wait for it, or give this one its own --state") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
