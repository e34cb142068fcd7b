"""From a disk to the VHD for Azure: prepare, generalize, check, boot, convert. The input is never written to.

Everything happens in a work folder beside the output, in steps that are remembered there: the same command run again
goes on after the last step that ended. The output, its manifest and its SBOM appear together at the end.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azready import __version__, durable, locks
from azready.boot.drawing.junit import as_junit
from azready.boot.drawing.page import page
from azready.boot.qemu.command import Hardware, Wanted
from azready.boot.record import document, from_json
from azready.boot.series import NOBODY, Onlooker
from azready.boot.series import Plan as BootPlan
from azready.console import SILENT, Console
from azready.errors import Exit, Failure, UsageFailure
from azready.fabric import Machine
from azready.image import (
    checking,
    conversion,
    preparation,
    render,
    sealing,
)
from azready.image.disk import diskfile
from azready.image.facts import Facts
from azready.image.facts.of_target import facts_of, look
from azready.image.parts import additions
from azready.image.rules import RULES, ids
from azready.image.rules.model import Severity
from azready.image.rules.waivers import Waiver
from azready.image.targets.spec import kind_of, open_target, require_writable, to_change
from azready.pipelines import bootdisk, sbom

STEPS = ("prepare", "generalize", "check", "boot", "convert")
_CHANGING = ("prepare", "generalize")
"""The steps that write to the disk: other choices for them begin anew."""
_IMAGE = "image.vhd"
_WORK = ".build"
"""Behind the output's name: the work folder's."""


class NotReady(Failure):
    """The image was found wanting by check or boot; nothing was made of it."""

    exit_code = Exit.NEGATIVE


@dataclass(frozen=True)
class Options:
    """What the user chose. `skip` names steps of `STEPS` that are left out."""

    prepare: preparation.Options = field(default_factory=preparation.Options)
    generalize: sealing.Options = field(default_factory=sealing.Options)
    waivers: tuple[Waiver, ...] = ()
    machine: Machine = field(default_factory=Machine)
    boots: int = 1
    deadline: float | None = None
    accel: Wanted = "auto"
    skip: frozenset[str] = frozenset()
    overwrite: bool = False
    keep_work: bool = False


@dataclass(frozen=True)
class Built:
    """The finished image: its files, and the manifest as a table."""

    image: Path
    manifest_file: Path
    sbom_file: Path
    manifest: dict[str, Any]
    boot_page: Path | None = None
    """Where it was booted."""


@dataclass
class Work:
    """The work folder: the disk under change, and what each finished step had to say."""

    folder: Path
    keys: Mapping[str, str]
    done: dict[str, Any]

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    def finish(self, step: str, said: dict[str, Any], seconds: float) -> None:
        """Note that a step is done, so that a build that is cut off after it goes on with the next one."""
        self.done[step] = {**said, "seconds": round(seconds, 2)}
        state = {step: {"key": self.keys[step], "said": said} for step, said in self.done.items()}
        partial = self.folder / ".state.json"
        durable.settle_all(self.folder)  # what the step made, before anything says that it is made
        partial.write_text(json.dumps(state, indent=1), encoding="utf-8")
        durable.rename(partial, self.folder / "state.json")


def plan_lines(source: Path, out: Path, options: Options) -> tuple[str, ...]:
    """What a build would do, in words. Opens the input read-only."""
    steps = [step for step in STEPS if step not in options.skip]
    to_convert = require_bootable(source)
    conversion.check_target(source, out, options.overwrite)
    lines = [f"{source} is only read; everything is done to a copy in {_folder_of(out)}"]
    with look(str(source)) as facts:
        if "prepare" in steps:
            to_prepare = preparation.plan(facts, options.prepare)
            gone = ", ".join(sorted({each.agent for each in to_prepare.found})) or "no agent"
            lines.append(f"prepare: {to_prepare.distribution}; {gone} to remove, {len(to_prepare.actions)} actions")
            lines += [f"prepare: {line}" for line in additions.described(options.prepare.added)]
        after = preparation.tried(facts, to_prepare) if "prepare" in steps else facts
        if "generalize" in steps:
            lines += [f"generalize: {step.title}" for step in _sealing_plan(after, options.generalize).steps]
            after = sealing.tried(after, options.generalize)
        lines += _foreseen(checking.check(after, RULES, _choice(options)), options)
    if "boot" in steps:
        lines.append(f"boot: {options.boots} in QEMU against the local Azure")
    return (*lines, *(f"convert: {line}" for line in to_convert.lines()), f"would write {out}; nothing was done")


def _foreseen(results: Sequence[checking.Result], options: Options) -> Iterator[str]:
    """What the check will say, as far as it can be told before programs of the image have run."""
    wrong = checking.stopping(results, Severity.ERROR)
    if "prepare" not in options.skip:  # package managers have not run yet
        wrong = tuple(result for result in wrong if not result.rule.fix.startswith("azready prepare"))
    if options.generalize.fix:  # may run the image's programs, whose outcome nobody knows yet
        wrong = tuple(result for result in wrong if not result.rule.repair)
    if not wrong:
        yield "check: every rule; nothing is known that would stop the build here"
        return
    yield "check: says no, and the build stops here:"
    for result in wrong:
        fixed = ", fixed by --fix" if result.rule.repair else ""
        yield f"  {result.rule.id} {result.rule.fault}{fixed}; or accepted in a file for --waivers"


def _choice(options: Options) -> checking.Choice:
    return checking.Choice(
        skip=frozenset(rule.id for rule in RULES if rule.finished_only),
        waivers=options.waivers,
        sealing="generalize" not in options.skip,
    )


def require_bootable(source: Path) -> conversion.Plan:
    """How the input would be converted. Raises UsageFailure for what no step could make an image of."""
    if kind_of(str(source)) != "disk":
        raise UsageFailure(f"{source} is not a disk file", diskfile.NO_FOLDER)
    bootdisk.look(source)
    return conversion.plan(source)


def build(source: Path, out: Path, options: Options, console: Console = SILENT, onlooker: Onlooker = NOBODY) -> Built:
    """Make `out` of `source`. Raises NotReady when check or boot say no; what was done until then is kept."""
    for warning in require_bootable(source).warnings:
        console.warn(warning)
    conversion.check_target(source, out, options.overwrite)
    ids.named(waiver.id for waiver in options.waivers)
    with _work(source, out, options) as work:
        actions: dict[str, Callable[[], dict[str, Any]]] = {
            "prepare": lambda: _prepare(work, source, options),
            "generalize": lambda: _generalize(work, options),
            "check": lambda: _check(work, options),
            "boot": lambda: _boot(work, options, console, onlooker),
            "convert": lambda: _convert(work),
        }
        if "prepare" in options.skip and not work.disk.exists():
            with to_change(str(source), work.disk, False):
                pass
        for number, step in enumerate(STEPS, 1):
            title = f"{number}/{len(STEPS)} {step}"
            if step in work.done or step in options.skip:
                console.say(f"· {title}: {'done before' if step in work.done else 'left out'}")
                continue
            began = time.monotonic()
            with console.step(title):
                said = actions[step]()
            work.finish(step, said, time.monotonic() - began)
        built = _publish(work, source, out, options, console)
        if not options.keep_work:
            _remove(work.folder)
        return built


def _remove(folder: Path) -> None:
    """What is said to be done goes before what was made; the lock last: half gone, it is still known as a build's."""
    (folder / "state.json").unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _folder_of(out: Path) -> Path:
    return out.with_name(f"{out.name}{_WORK}")


@contextlib.contextmanager
def _work(source: Path, out: Path, options: Options) -> Iterator[Work]:
    """The work folder, ours alone; what an earlier run did counts when input and choices are the same."""
    folder = _folder_of(out)
    try:
        folder.mkdir(0o700, exist_ok=True)
        if (foreign := {path.name for path in folder.iterdir()}) and "lock" not in foreign:
            raise UsageFailure(f"{folder} is not of a build", "a build would empty it: rename it, or name another OUT")
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise UsageFailure(f"cannot make {folder}: {error.strerror}", "choose a folder you may write to") from error
    with lock:
        try:
            locks.hold(lock)
        except OSError as error:
            raise Failure(f"another build of {out} is running", "wait for it") from error
        work = Work(folder, _keys(source, options), {})
        work.done = _done_before(work)
        if not work.done:
            for old in folder.iterdir():
                if old.name != "lock":
                    old.unlink()
        try:
            yield work
        finally:
            if {path.name for path in folder.glob("*")} <= {"lock"}:
                shutil.rmtree(folder, ignore_errors=True)


def _done_before(work: Work) -> dict[str, Any]:
    """What an earlier run said in the steps that count still; nothing of it where the disk would be another."""
    try:
        state = json.loads((work.folder / "state.json").read_text(encoding="utf-8"))
        done = {step: each["said"] for step, each in state.items() if each["key"] == work.keys[step]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    if any(step in state and step not in done for step in _CHANGING):
        return {}
    if not (work.folder / _IMAGE).exists():  # it was moved to its name, and the end did not come
        done.pop("convert", None)
    return done


def _keys(source: Path, options: Options) -> dict[str, str]:
    """For each step what its outcome hangs on: the input, the choices that shape the disk, and its own."""
    status = source.stat()
    left_out = [step for step in _CHANGING if step in options.skip]
    disk = (str(source.resolve()), status.st_size, status.st_mtime_ns, __version__, left_out)
    shaping = (*disk, options.prepare, additions.sources(options.prepare.added), options.generalize)
    own = {"check": (options.waivers,), "boot": (options.machine, options.boots, options.deadline)}
    parts = {step: repr((*shaping, *own.get(step, ()))) for step in STEPS}
    return {step: hashlib.sha256(text.encode()).hexdigest() for step, text in parts.items()}


# --- steps ---


def _prepare(work: Work, source: Path, options: Options) -> dict[str, Any]:
    work.disk.unlink(missing_ok=True)
    with to_change(str(source), work.disk, False) as copy, open_target(copy, write=True) as target:
        require_writable(target)
        to_prepare = preparation.plan(facts_of(target), options.prepare)
        left = preparation.carry_out(target, to_prepare)
    if left:
        raise NotReady("agents are left: " + "; ".join(each.describe() for each in left))
    return {
        "distribution": to_prepare.distribution,
        "guest": to_prepare.selection.guest,
        "init": to_prepare.selection.init,
        "removed": [each.describe() for each in to_prepare.found],
        "actions": [action.describe() for action in to_prepare.actions],
        "settings": dict(options.prepare.settings),
        "notes": list(to_prepare.notes),
    }


def _generalize(work: Work, options: Options) -> dict[str, Any]:
    with open_target(str(work.disk), write=True) as target:
        require_writable(target)
        planned = _sealing_plan(facts_of(target), options.generalize)
        sealed = sealing.carry_out(target, lambda: facts_of(target), options.generalize)
    return {
        "steps": [step.title for step in planned.steps],
        "changes": sum(outcome.changed for outcome in sealed.outcomes),
        "left": [result.rule.id for result in sealed.left],
    }


def _sealing_plan(facts: Facts, options: sealing.Options) -> sealing.Sealing:
    try:
        return sealing.plan(facts, options)
    except sealing.Useless as useless:
        raise NotReady(useless.message, "let this build prepare it; or add --skip generalize") from useless


def _check(work: Work, options: Options) -> dict[str, Any]:
    with look(str(work.disk)) as facts:
        results = checking.check(facts, RULES, _choice(options))
        inventory = sbom.Inventory(
            name="image",
            distribution=facts.distro.id,
            distribution_name=facts.distro.name,
            release=facts.distro.version,
            manager=facts.packages.manager,
            packages=facts.packages.versions,
        )
    (work.folder / "sbom.json").write_text(sbom.cyclonedx(inventory), encoding="utf-8")
    if wrong := checking.stopping(results, Severity.ERROR):
        fixed = " ".join(result.rule.id for result in wrong if result.rule.repair)
        raise NotReady(
            f"check says no ({render.summary(results)}):\n{render.findings(wrong)}",
            "fix it in the input"
            + (f", let --fix do it ({fixed})" if fixed else "")
            + ", or accept it with its reason in a file for --waivers",
        )
    found = [row for row in render.rows(results) if row["answer"] not in ("pass", "skipped")]
    return {"summary": render.summary(results), "findings": found, "packages": len(inventory.packages)}


def _boot(work: Work, options: Options, console: Console, onlooker: Onlooker) -> dict[str, Any]:
    reached_otherwise = any(waiver.id == "S01" for waiver in options.waivers)  # an ssh server: it has none, on purpose
    plan = BootPlan(options.deadline, boots=options.boots, login=not reached_otherwise)
    hardware, named = Hardware(accel=options.accel), work.folder.name.removesuffix(_WORK)
    records = bootdisk.boot(
        work.disk, options.machine, plan, console, hardware=hardware, onlooker=onlooker, named=named
    )
    (work.folder / "boots.json").write_text(document(records), encoding="utf-8")
    last, look = records[-1], f"azready timeline {shlex.quote(str(work.folder / 'boots.json'))}"
    if last.cause is not None and last.undecided:
        raise Failure("\n".join((last.headline, *last.cause.lines())), f"{last.cause.fix}; or look at it: {look}")
    if not all(record.passed for record in records):
        checks = [f"{check.name}: {check.detail}" for check in last.checks if check.outcome == "failed"]
        causes = last.cause.lines() if last.cause else ()
        raise NotReady("\n".join((last.headline, *causes, *checks)), f"look at it: {look}")
    return {
        "how": records[0].how,
        "why": records[0].host.why,
        "verdicts": [
            {
                "boot": record.title,
                "verdict": record.headline,
                "checks": {check.name: check.outcome for check in record.checks},
            }
            for record in records
        ],
        "readyAfterSeconds": None if (ready := records[0].verdict.at) is None else round(ready, 2),
    }


def _convert(work: Work) -> dict[str, Any]:
    done = conversion.convert(conversion.plan(work.disk), work.folder / _IMAGE, verify=True, overwrite=True)
    return {
        "virtualSizeBytes": done.plan.virtual_size,
        "uploadSizeBytes": done.plan.file_size,
        "backupGptMoved": done.plan.moves_backup_gpt,
        "hyperVGenerations": [f"V{number}" for number in done.plan.generations],
        "verified": done.verified,
        "warnings": list(done.plan.warnings),
    }


# --- the end ---


def _publish(work: Work, source: Path, out: Path, options: Options, console: Console) -> Built:
    """Move image, SBOM and manifest to their names; the manifest last, for it vouches for the others."""
    image = work.folder / _IMAGE
    with console.step("hash input and image"):
        digest, of_source = _digest(image), _digest(source)
    bill, manifest = out.with_name(f"{out.name}.cdx.json"), out.with_name(f"{out.name}.manifest.json")
    table = {
        "version": 1,
        "azready": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "input": {
            "path": str(source),
            "format": diskfile.inspect(source).format,
            "sizeBytes": source.stat().st_size,
            "sha256": of_source,
        },
        "image": {"path": out.name, "sha256": digest, **work.done["convert"]},
        "sbom": {"path": bill.name, "sha256": _digest(work.folder / "sbom.json"), "format": "CycloneDX 1.5"},
        "steps": {step: work.done.get(step, "left out") for step in STEPS},
        "ready": "check" in work.done and "boot" in work.done,
    }
    text = json.dumps(table, indent=2, ensure_ascii=False)
    (work.folder / "manifest.json").write_text(
        text + "\n", encoding="utf-8"
    )  # all is written before anything gets its name
    shutil.copyfile(work.folder / "sbom.json", bill)
    durable.settle(bill)
    boot_page = _leave_boots(work, out)
    durable.rename(image, out)
    durable.rename(work.folder / "manifest.json", manifest)
    return Built(out, manifest, bill, table, boot_page)


def _leave_boots(work: Work, out: Path) -> Path | None:
    """What the boot showed, beside the image: for people, for build servers, and for `azready timeline`."""
    kept = work.folder / "boots.json"
    if "boot" not in work.done or not kept.exists():
        return None
    text = kept.read_text(encoding="utf-8")
    records = [from_json(row) for row in json.loads(text)["boots"]]
    for suffix, content in (("boots.json", text), ("boot.html", page(records)), ("boot.junit.xml", as_junit(records))):
        path = out.with_name(f"{out.name}.{suffix}")
        path.write_text(content, encoding="utf-8")
        durable.settle(path)
    return out.with_name(f"{out.name}.boot.html")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return hashlib.file_digest(file, "sha256").hexdigest()
