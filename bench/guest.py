"""What a first boot costs the VM: R1 to R7, and the whole job in units of a bare interpreter start (`py`).

Everything runs as root in a throwaway overlay of a Debian tree, in turns, so that a busy machine slows all alike.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.lab import LAUNCH, PATH, PROGRAM, START, Cost, Lab, debian, run
from bench.table import Row, cpu, wall

PYTHON = ["/usr/bin/python3", "-I", "-S"]
CURL = "curl -sS -o /dev/null -H Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-02-01'; "
CURL += "curl -sS -o /dev/null -H x-ms-version:2012-11-30 'http://168.63.129.16/machine?comp=goalstate'"
# Its peak memory, told by the program itself: what the kernel tells a parent includes the parent's own (vfork).
PEAK = "print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
NAIVE = Path(__file__).parent / "naive.py"

COMMANDS: dict[str, list[str]] = {
    "py": [*PYTHON, "-c", "pass"],
    "agent": LAUNCH,
    "agent, no bytecode": LAUNCH,
    "useradd": ["/usr/sbin/useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo,adm", "azureuser"],
    "dash and 2 curl": ["/bin/dash", "-c", CURL],
    "--version": [*LAUNCH, "--version"],
    "again": LAUNCH,
    "sh": ["/bin/sh", PROGRAM + "/provision.sh"],
    "naive": ["/usr/bin/python3", PROGRAM + "/naive.py"],
}


def rows(lab: Lab, rounds: int) -> list[Row]:
    """Measure, and make the table's rows."""
    lower = debian("bookworm", "curl", "python3")
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    names = list(COMMANDS)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            costs[name].append(_once(lab, lower, name))
    with lab.tree(lower) as root:
        lab.install(root)
        bare = int(run(root, [*PYTHON, "-c", PEAK]).stderr)
        peak = int(run(root, [*PYTHON, "-B", "-c", _with_peak()]).stderr.splitlines()[-1])
    execs, fsyncs = _calls(lab, lower)
    return _judge({name: cpu(cost) for name, cost in costs.items()}, costs, peak / bare, execs, fsyncs)


def _with_peak() -> str:
    return START.replace("provision.start()", "provision.main([]); ") + PEAK


def _once(lab: Lab, lower: Path, name: str) -> Cost:
    """One measurement in a fresh tree; preparing it is not counted."""
    with lab.tree(lower) as root:
        lab.install(root)
        if name == "agent, no bytecode":
            subprocess.run(["rm", "-r", root / PROGRAM[1:] / "__pycache__"], check=True)
        if name == "again":
            run(root, LAUNCH)
        if name == "sh":
            (root / PROGRAM[1:] / "provision.sh").write_bytes(
                (NAIVE.parents[1] / "src/azready/guest/provision.sh").read_bytes()
            )
        if name == "naive":
            (root / PROGRAM[1:] / "naive.py").write_bytes(NAIVE.read_bytes())
        cost = run(root, COMMANDS[name])
    if cost.status:
        raise RuntimeError(f"{name} ended with {cost.status}: {cost.stderr}")
    return cost


def _calls(lab: Lab, lower: Path) -> tuple[int, int]:
    """Programs started and fsyncs of one first boot and its children, counted by strace: exact, without noise."""
    with lab.tree(lower) as root:
        lab.install(root)
        log = root.parent / "strace"
        trace = ["strace", "-f", "-qq", "-o", log, "-e", "trace=execve,fsync"]
        subprocess.run([*trace, "chroot", root, *LAUNCH], env={"PATH": PATH}, check=True, capture_output=True)
        calls = Counter(re.findall(r"^\d+ +(execve|fsync)\(.* = 0$", log.read_text(), re.MULTILINE))
    return calls["execve"] - 2, calls["fsync"]  # without chroot and the interpreter itself


def _judge(
    ms: dict[str, float], costs: dict[str, Sequence[Cost]] | dict[str, list[Cost]], peak: float, execs: int, fsyncs: int
) -> list[Row]:
    py, agent, least = ms["py"], ms["agent"], ms["py"] + ms["useradd"]
    least_wall = wall(costs["py"]) + wall(costs["useradd"])
    note: Callable[[str, str], str] = lambda name, rest: f"{ms[name]:.1f} ms {rest}"  # noqa: E731
    return [
        Row("job", "whole first boot: CPU / py", agent / py, 3.0, 3.8, note("agent", f"/ {py:.1f} ms")),
        Row("R1", "CPU / (py + dash with 2 curl)", agent / (py + ms["dash and 2 curl"]), 1.3, 1.75),
        Row("R2", "CPU / (py + useradd): the least that any could do", agent / least, 1.8, 2.5),
        Row("R3", "wall / (py + useradd) wall", wall(costs["agent"]) / least_wall, 2.0, 3.0),
        Row("R4", "memory / py memory", peak, 1.6, 2.0),
        Row("R5", "--version: CPU / py", ms["--version"] / py, 1.7, 2.2),
        Row("R6", "CPU without bytecode / with", ms["agent, no bytecode"] / agent, 1.5, 2.0),
        Row("R7", "programs started", execs, 2, 3, "useradd, visudo", 0),
        Row("R7", "fsyncs, useradd's among them", fsyncs, 20, 28, "", 0),
        Row("", "a run with nothing to do: CPU / py", ms["again"] / py, note="the unit's condition starts none"),
        Row("", "provision.sh: CPU / py", ms["sh"] / py, note=note("sh", "with curl")),
        Row("", "the same job in everyday style: CPU / py", ms["naive"] / py, note=note("naive", "bench/naive.py")),
    ]
