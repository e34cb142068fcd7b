"""A plan is a list of steps, each a value; one function carries them out, another prints them.

    Read    asks, and learns from the answer
    Ensure  a resource is to exist: looked for first, created when absent, waited for when half made
    Act     a call with an effect, made once a run
    Work    what is not a call of the control plane: a guest over ssh, an upload
    Remove  a resource is to be gone

Requests may depend on what earlier steps learned (`Known`); in a dry run the unknown is shown as `<…>`. So
the printed plan and the carried-out one come from the same list. Resuming needs no bookkeeping of its own: `Ensure`
finds what exists, `Act` and `Work` are skipped when the state file says that they are done.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from azready.azure.client import Answer, Client
from azready.azure.known import PLANNED, Known
from azready.azure.problems import AzureFailure
from azready.azure.requests.model import RUN_TAG, Json, Request, Usual, read, removal
from azready.azure.state import StateFile
from azready.console import Console
from azready.errors import Failure

LONG = 20.0
"""Seconds from which on a user wants to know beforehand how long it takes."""

Learn = Callable[[Json, Known], Known]


def _learn_nothing(_: Json, known: Known) -> Known:
    return known


@dataclass(frozen=True)
class Read:
    id: str
    title: str
    request: Callable[[Known], Request]
    learn: Learn = _learn_nothing
    missing: Learn | None = None
    """What to make of an absent resource; None lets the error through."""
    once: bool = False
    """Whether a run that goes on believes what was read before: checks of what the run itself changes later."""


@dataclass(frozen=True)
class Ensure:
    id: str
    title: str
    request: Callable[[Known], Request]
    shared: bool = False
    """An existing one that another run made is good too (a group, a gallery); `accept` may look at it."""
    accept: Callable[[Json, Known], None] | None = None
    learn: Learn = _learn_nothing
    again: bool = True
    """Whether a resource that failed to be created is asked for again. A VM whose guest failed is not."""
    progress: Callable[[Json], str] | None = None
    """What to tell, while it is being made, of the answer to `watch`."""
    watch: Callable[[Known], Request] | None = None


@dataclass(frozen=True)
class Act:
    id: str
    title: str
    request: Callable[[Known], Request]
    learn: Learn = _learn_nothing


@dataclass(frozen=True)
class Work:
    id: str
    title: str
    do: Callable[[Known], Known]
    note: str = ""
    """What a person would do by hand, for the printed plan."""
    once: bool = True
    request: Request | None = None
    """A call that it makes, for the printed plan."""
    tells: bool = False
    """Whether it shows its own progress."""


@dataclass(frozen=True)
class Remove:
    id: str
    title: str
    request: Callable[[Known], Request]


Step = Read | Ensure | Act | Work | Remove


def requests_of(steps: Iterable[Step], known: Known | None = None) -> list[tuple[Step, Request | None]]:
    """Every step with its request, as far as it is known now; for a dry run."""
    planned = known or PLANNED
    return [(step, step.request if isinstance(step, Work) else step.request(planned)) for step in steps]


class NameTaken(Failure):
    """A resource of that name exists and this run did not make it."""

    def __init__(self, request: Request) -> None:
        super().__init__(
            f"{request.resource} exists already, and this run did not create it",
            f"choose another name; or, if it is not needed: {' '.join(removal(request.path))}",
        )


@dataclass(frozen=True)
class Runner:
    """Carries out steps: the only place of the verbs that sends anything. `pause` is between two looks, in seconds."""

    client: Client
    state: StateFile
    console: Console
    pause: float = 5.0

    def run(self, steps: Iterable[Step], known: Known) -> Known:
        """Carry out every step in order; what was learned so far is in the state file at any time."""
        for step in steps:
            known = self._step(step, known)
        return known

    def _step(self, step: Step, known: Known) -> Known:
        once = isinstance(step, Act) or (isinstance(step, Read | Work) and step.once)
        if once and step.id in self.state.run.done:
            self.console.say(f"✓ {step.title} (done before)")
            return known
        match step:
            case Read():
                known = self._read(step, known)
            case Ensure():
                known = self._ensure(step, known)
            case Act():
                request = step.request(known)
                with self._telling(step.title, request.usual):
                    known = step.learn(self.client.send(request).body, known)
            case Work():
                with contextlib.nullcontext() if step.tells else self.console.step(step.title):
                    known = step.do(known)
            case Remove():
                request = step.request(known)
                with self._telling(step.title, request.usual):
                    self.client.find(request)
                self.state.removed(request.path)
        self.state.finish_step(step.id, known)
        return known

    @contextlib.contextmanager
    def _telling(self, title: str, usual: Usual | None) -> Iterator[None]:
        """A step of the console; one that takes long is announced with the time that it usually takes."""
        if usual and usual.longest >= LONG:
            self.console.say(f"… {title}: {usual}")
        with self.console.step(title):
            yield

    def _read(self, step: Read, known: Known) -> Known:
        request = step.request(known)
        if step.missing is None:
            return step.learn(self.client.send(request).body, known)
        found = self.client.find(request)
        return step.missing({}, known) if found is None else step.learn(found.body, known)

    def _ensure(self, step: Ensure, known: Known) -> Known:
        request = step.request(known)
        found = self.client.find(read(request.path, request.api_version))
        if found is not None:
            if not step.shared and self._tag(found.body) != self.state.run.id:
                raise NameTaken(request)
            settled = self._settled(found, request)
            if settled is not None and _state(settled.body) != "Failed":
                if step.accept and self._tag(found.body) != self.state.run.id:
                    step.accept(settled.body, known)
                self.console.say(f"✓ {step.title} (exists)")
                return step.learn(settled.body, known)
            if settled is not None and not step.again:
                raise Failure(
                    f"{request.resource} was created by this run, and failed",
                    "read what it said; then remove it and run the same command again: "
                    + " ".join(removal(request.path)),
                )
        self.state.expect(request.path)
        try:
            with self._telling(step.title, request.usual):
                made = self.client.send(request, self._watcher(step, known))
        except AzureFailure as failure:
            if found is None and 400 <= failure.problem.status < 500:  # refused at once: there is nothing to remove
                self.state.removed(request.path)
            raise
        return step.learn(made.body, known)

    def _watcher(self, step: Ensure, known: Known) -> Callable[[], str] | None:
        """A function that says how far the making of a resource is."""
        watch, progress = step.watch, step.progress
        if watch is None or progress is None:
            return None

        def tell() -> str:
            found = self.client.find(watch(known))
            return progress(found.body) if found else ""

        return tell

    def _tag(self, body: Json) -> str:
        return str((body.get("tags") or {}).get(RUN_TAG, ""))

    def _settled(self, found: Answer, request: Request) -> Answer | None:
        """Wait until a half-made resource is made or failed; None when it is gone after all."""
        answer: Answer | None = found
        said = False
        while answer is not None and _state(answer.body) not in ("Succeeded", "Failed", "Canceled", ""):
            if not said:
                self.console.say(f"  {request.resource} is still {_state(answer.body)}: waiting")
                said = True
            time.sleep(self.pause)
            answer = self.client.find(read(request.path, request.api_version))
        return answer


def _state(body: Json) -> str:
    return str((body.get("properties") or {}).get("provisioningState", ""))
