"""A plan is a list of steps, each a value; one function carries them out, another prints them.

    Read    asks, and learns from the answer
    Ensure  a resource is to exist: looked for first, created when absent, waited for when half made
    Act     a call with an effect, made once a run
    Work    what is not a call of the control plane: a guest over ssh, an upload
    Remove  a resource is to be gone

Requests may depend on what earlier steps learned (`Known`); in a dry run the unknown is shown as `<…>`. So
the printed plan and the carried-out one come from the same list. Resuming needs no bookkeeping of its own: `Ensure`
finds what exists, `Act` and `Work` are skipped when the state file says that they are done. A step whose `when` says no
is neither printed nor carried out.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from azready.azure.client import Answer, Client, Vanished
from azready.azure.instances import problem_of
from azready.azure.known import PLANNED, Known
from azready.azure.problems import NO_REASON, AzureFailure
from azready.azure.requests.model import RUN_TAG, Json, Request, Usual, read, removal
from azready.azure.state import StateFile
from azready.console import Console
from azready.errors import Failure

LONG = 20.0
"""Seconds from which on a user wants to know beforehand how long it takes."""

Learn = Callable[[Json, Known], Known]


def _learn_nothing(_: Json, known: Known) -> Known:
    return known


def _always(_: Known) -> bool:
    return True


@dataclass(frozen=True)
class Read:
    """A question to Azure, which changes nothing; `learn` takes from its answer what later steps need."""

    id: str
    title: str
    request: Callable[[Known], Request]
    learn: Learn = _learn_nothing
    missing: Learn | None = None
    """What to make of an absent resource; None lets the error through."""
    once: bool = False
    """Whether a run that goes on believes what was read before: checks of what the run itself changes later."""
    optional: str = ""
    """What is not known when the login may not read it, which is then told; empty: it must be readable."""
    when: Callable[[Known], bool] = _always


@dataclass(frozen=True)
class Ensure:
    """A resource that is to exist: looked for first, created when absent, waited for when half made."""

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
    tell: Callable[[Known], Iterable[str]] | None = None
    """What to tell before it is made: of what cannot be changed afterwards."""
    why: Callable[[Known], Request] | None = None
    """Where a VM that failed says why (its instance view)."""
    when: Callable[[Known], bool] = _always


@dataclass(frozen=True)
class Act:
    """A call with an effect (a VM is deallocated), made once a run."""

    id: str
    title: str
    request: Callable[[Known], Request]
    learn: Learn = _learn_nothing
    when: Callable[[Known], bool] = _always


@dataclass(frozen=True)
class Work:
    """What is no call of the control plane: a VM over ssh, an upload; done once a run."""

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
    when: Callable[[Known], bool] = _always


@dataclass(frozen=True)
class Remove:
    """A resource that is to be gone."""

    id: str
    title: str
    request: Callable[[Known], Request]
    when: Callable[[Known], bool] = _always


Step = Read | Ensure | Act | Work | Remove


def requests_of(steps: Iterable[Step], known: Known | None = None) -> list[tuple[Step, Request | None]]:
    """Every step with its request, as far as it is known now; for a dry run."""
    planned = known or PLANNED
    return [
        (step, step.request if isinstance(step, Work) else step.request(planned))
        for step in steps
        if step.when(planned)
    ]


class NameTaken(Failure):
    """A resource of that name exists and this run did not make it."""

    def __init__(self, request: Request) -> None:
        super().__init__(
            f"{request.resource} exists already, and this run did not create it",
            f"choose another name; or, if it is not needed: {' '.join(removal(request.path))}",
        )


@dataclass(frozen=True)
class Runner:
    """Carries out steps: the only place of the verbs that sends anything."""

    client: Client
    state: StateFile
    console: Console

    def run(self, steps: Iterable[Step], known: Known) -> Known:
        """Carry out every step in order; what was learned so far is in the state file at any time."""
        for step in steps:
            known = self._step(step, known)
        return known

    def _step(self, step: Step, known: Known) -> Known:
        if not step.when(known):
            return known
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
        try:
            if step.missing is None:
                return step.learn(self.client.send(request).body, known)
            found = self.client.find(request)
        except AzureFailure as failure:
            if not step.optional or failure.problem.status != 403:
                raise
            self.console.warn(f"{step.title}: this login may not read it ({failure.code}); {step.optional}")
            return known
        return step.missing({}, known) if found is None else step.learn(found.body, known)

    def _ensure(self, step: Ensure, known: Known) -> Known:
        request = step.request(known)
        found = self.client.find(read(request.path, request.api_version))
        if found is not None:
            if not step.shared and self._tag(found.body) != self.state.run.id:
                raise NameTaken(request)
            settled = self._settled(step, request, found, known)
            if settled is not None:
                if step.accept:
                    step.accept(settled.body, known)
                self.console.say(f"✓ {step.title} (exists)")
                return step.learn(settled.body, known)
        for line in step.tell(known) if step.tell else ():
            self.console.say(f"  {line}")
        self.state.expect(request.path)
        try:
            with self._telling(step.title, request.usual):
                made = self.client.send(request, self._watcher(step, known))
        except AzureFailure as failure:
            if found is None and 400 <= failure.problem.status < 500:  # refused at once: there is nothing to remove
                self.state.removed(request.path)
            raise self._explained(step, failure, known) from None
        return step.learn(made.body, known)

    def _settled(self, step: Ensure, request: Request, found: Answer, known: Known) -> Answer | None:
        """The resource when it is made; None when it is to be asked for again. Raises Failure."""
        try:
            return self.client.settled(request, found)
        except Vanished:
            return None
        except AzureFailure as failure:
            if step.again:
                return None
            reason = self._explained(step, failure, known).problem
            told = AzureFailure(f"{request.resource} was created by this run, and failed", reason)
            told.hint += "; then remove it and run the same command again: " + " ".join(removal(request.path))
            raise told from None

    def _explained(self, step: Ensure, failure: AzureFailure, known: Known) -> AzureFailure:
        """The failure with the reason that the resource itself gives, when its answer gave none."""
        if step.why is None or failure.problem.told.message != NO_REASON:
            return failure
        found = self.client.find(step.why(known))
        problem = problem_of(found.body) if found else None
        return AzureFailure(f"cannot create {step.title}", problem) if problem else failure

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
