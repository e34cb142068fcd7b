"""What a first boot costs the VM: R1 to R7, and the whole job in units of a bare interpreter start (`py`).

Everything runs as root in a throwaway overlay of a Debian tree, in turns, so that a busy machine slows all alike.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.lab import LAUNCH, PATH, PEERS, PROGRAM, START, Cost, Lab, debian, run
from bench.table import Row, cpu, wall

PYTHON = ["/usr/bin/python3", "-I", "-S"]
CURL = "curl -sS -o /dev/null -H Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-02-01'; "
CURL += "curl -sS -o /dev/null -H x-ms-version:2012-11-30 'http://168.63.129.16/machine?comp=goalstate'"
# Its peak memory, told by the program itself: what the kernel tells a parent includes the parent's own (vfork).
PEAK = "print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
BUSYBOX = "/busybox"
"""A folder of links to busybox, which goes before all others: its sh, awk and wget, and useradd of the image."""
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
    "sh, busybox": [BUSYBOX + "/sh", PROGRAM + "/provision.sh"],
    "naive": ["/usr/bin/python3", PROGRAM + "/naive.py"],
}


def rows(lab: Lab, rounds: int) -> list[Row]:
    """Measure, and make the table's rows."""
    lower, small = debian("bookworm", "curl", "python3"), debian("bookworm", "busybox")
    peers = [line.partition("=")[::2] for line in os.environ.get(PEERS, "").splitlines()]
    commands = COMMANDS | {name: shlex.split(words) for name, words in peers}
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    names = list(commands)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            costs[name].append(_once(lab, small if name == "sh, busybox" else lower, name, commands[name]))
    with lab.tree(lower) as root:
        lab.install(root)
        bare = int(run(root, [*PYTHON, "-c", PEAK]).stderr)
        peak = int(run(root, [*PYTHON, "-B", "-c", _with_peak()]).stderr.splitlines()[-1])
    calls = {name: _calls(lab, lower, name) for name in ("agent", "sh")}
    ms = {name: cpu(cost) for name, cost in costs.items()}
    beside = [Row("", f"CPU / {name}'s", ms["agent"] / ms[name], note=f"{ms[name]:.1f} ms") for name, _ in peers]
    return _judge(ms, costs, peak / bare, calls) + beside


def _with_peak() -> str:
    return START.replace("provision.start()", "provision.main([]); ") + PEAK


def _once(lab: Lab, lower: Path, name: str, command: Sequence[str]) -> Cost:
    """One measurement in a fresh tree; preparing it is not counted."""
    with lab.tree(lower) as root:
        lab.install(root)
        if name == "agent, no bytecode":
            subprocess.run(["rm", "-r", root / PROGRAM[1:] / "__pycache__"], check=True)
        if name == "again":
            run(root, LAUNCH)
        if name.startswith("sh"):
            (root / PROGRAM[1:] / "provision.sh").write_bytes(
                (NAIVE.parents[1] / "src/azready/guest/provision.sh").read_bytes()
            )
        if name == "naive":
            (root / PROGRAM[1:] / "naive.py").write_bytes(NAIVE.read_bytes())
        environment = {}
        if name not in COMMANDS:
            shutil.copy(command[0], root / "usr/local/bin/peer")
            command = ["/usr/local/bin/peer", *command[1:]]
        if name == "sh, busybox":
            run(root, ["/bin/busybox", "mkdir", BUSYBOX])
            run(root, ["/bin/busybox", "--install", "-s", BUSYBOX])
            environment = {"PATH": f"{BUSYBOX}:{PATH}"}
        cost = run(root, command, environment)
    if cost.status:
        raise RuntimeError(f"{name} ended with {cost.status}: {cost.stderr}")
    return cost


def _calls(lab: Lab, lower: Path, name: str) -> Counter[str]:
    """What one first boot and its children ask of the kernel, counted by strace: exact, without noise. Programs are
    those that start others, and not chroot nor the interpreter itself."""
    with lab.tree(lower) as root:
        lab.install(root)
        shutil.copy(NAIVE.parents[1] / "src/azready/guest/provision.sh", root / PROGRAM[1:])
        log = root.parent / "strace"
        trace = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=execve,fsync,fork,vfork,clone,clone3"]
        subprocess.run(
            [*trace, "chroot", str(root), *COMMANDS[name]], env={"PATH": PATH}, check=True, capture_output=True
        )
        done = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(.*| resumed>.*) = (\d+)$", log.read_text(), re.MULTILINE)
    calls = Counter("forks" if call in ("fork", "vfork", "clone", "clone3") else call for call, _ in done)
    calls["execve"] -= 2
    return calls


def _judge(
    ms: dict[str, float],
    costs: dict[str, Sequence[Cost]] | dict[str, list[Cost]],
    peak: float,
    calls: dict[str, Counter[str]],
) -> list[Row]:
    py, agent, least = ms["py"], ms["agent"], ms["py"] + ms["useradd"]
    least_wall = wall(costs["py"]) + wall(costs["useradd"])
    note: Callable[[str, str], str] = lambda name, rest: f"{ms[name]:.1f} ms {rest}"  # noqa: E731
    return [
        Row("job", "whole first boot: CPU / py", agent / py, 2.1, 3.0, note("agent", f"/ {py:.1f} ms")),
        Row("R1", "CPU / (py + dash with 2 curl)", agent / (py + ms["dash and 2 curl"]), 1.3, 1.75),
        Row("R2", "CPU / (py + useradd): the least that any could do", agent / least, 1.8, 2.5),
        Row("R3", "wall / (py + useradd) wall", wall(costs["agent"]) / least_wall, 2.0, 3.0),
        Row("R4", "memory / py memory", peak, 1.6, 2.0),
        Row("R5", "--version: CPU / py", ms["--version"] / py, 1.7, 2.2),
        Row("R6", "CPU without bytecode / with", ms["agent, no bytecode"] / agent, 1.4, 3.5),
        Row("R7", "programs started", calls["agent"]["execve"], 2, 3, "useradd", 0),
        Row("R7f", "fsyncs, useradd's among them", calls["agent"]["fsync"], 18, 28, "", 0),
        Row("", "a run with nothing to do: CPU / py", ms["again"] / py, note="the unit's condition starts none"),
        Row(
            "S1", "provision.sh with curl: CPU / py", ms["sh"] / py, 7.0, 12.0, note("sh", "with dash, mawk, coreutils")
        ),
        Row("S2", "provision.sh: programs started", calls["sh"]["execve"], 14, 40, "useradd is one", 0),
        Row("S3", "provision.sh: forks", calls["sh"]["forks"], 25, 50, "six of them useradd's", 0),
        Row(
            "S4",
            "provision.sh, busybox: CPU / py",
            ms["sh, busybox"] / py,
            4.5,
            12.0,
            note("sh, busybox", "with its wget"),
        ),
        Row("", "the same job in everyday style: CPU / py", ms["naive"] / py, note=note("naive", "bench/naive.py")),
    ]
