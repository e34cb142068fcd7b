"""How much of the processor another process got, as the kernel counts it, and whether it was stopped.

Source: Linux's Documentation/scheduler/sched-stats.rst (/proc/PID/schedstat) and proc(5). A thread that may run and
does not, because others run or a quota of its control group is used up, waits; both are counted in nanoseconds.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuTime:
    """Seconds, over all threads of a process: on a processor, and waiting for one although there was work."""

    ran: float = 0.0
    waited: float = 0.0
    longest: float = 0.0
    """What one thread waited, of those that waited most."""

    @property
    def share(self) -> float:
        """How much of the time that it could use it got: 1.0 on an idle machine, 0.05 under a quota of 5 %."""
        wanted = self.ran + self.waited
        return 1.0 if wanted <= 0 else self.ran / wanted


def cpu_time(pid: int) -> CpuTime:
    """What a process got since it started; zeros where it has ended or the kernel does not count."""
    threads = list(_threads(pid))
    return CpuTime(
        sum(ran for ran, _ in threads) / 1e9,
        sum(waited for _, waited in threads) / 1e9,
        max((waited for _, waited in threads), default=0) / 1e9,
    )


def _threads(pid: int) -> Iterator[tuple[int, int]]:
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):
            ran, waited, _ = path.read_text().split()
            yield int(ran), int(waited)


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) or a debugger holds the process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")


class Stopped:
    """Watches whether a process is held for longer than a moment: a person who presses Ctrl-Z holds us, too."""

    _MOMENT = 2.0

    def __init__(self, pid: int) -> None:
        self._pid, self._since = pid, 0.0

    def for_long(self) -> bool:
        """To be asked again and again: the moment is counted from the first time that it was found stopped."""
        if not is_stopped(self._pid):
            self._since = 0.0
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since >= self._MOMENT
