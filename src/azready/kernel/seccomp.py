"""System calls that a booted tree is not given: those that reach what namespaces do not part, and little-tried ones.

The guest's root has no right over the kernel anyway, since it is nobody on this machine. The filter is for the day on
which a fault of the kernel's says otherwise, and for keyrings, which no namespace hides. What systemd-nspawn
refuses is the measure: every init is used to that.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

_MODULES = {"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"}
_KERNEL = {"bpf", "perf_event_open", "userfaultfd", "syslog", "acct", "swapon", "swapoff", "quotactl", "quotactl_fd"}
_CLOCK = {"settimeofday", "stime", "clock_settime", "clock_settime64"}
_ASIDE = {"open_by_handle_at", "add_key", "request_key", "keyctl"}
_OLD = {"iopl", "ioperm", "lookup_dcookie", "uselib", "_sysctl", "vm86", "vm86old", "nfsservctl"}
REFUSED = frozenset(_MODULES | _KERNEL | _CLOCK | _ASIDE | _OLD)
"""Answered with EPERM."""
ABSENT = frozenset({"io_uring_setup", "io_uring_enter", "io_uring_register"})
"""Answered with ENOSYS, which programs take for an older kernel."""

_NEW = {
    "quotactl_fd": 443,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
}
"""The same everywhere: Linux gives all architectures one number since 5.1."""
_X86_64 = _NEW | {
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "syslog": 103,
    "acct": 163,
    "swapon": 167,
    "swapoff": 168,
    "quotactl": 179,
    "settimeofday": 164,
    "clock_settime": 227,
    "open_by_handle_at": 304,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "iopl": 172,
    "ioperm": 173,
    "lookup_dcookie": 212,
    "uselib": 134,
    "_sysctl": 156,
    "nfsservctl": 180,
}
_I386 = _NEW | {
    "init_module": 128,
    "finit_module": 350,
    "delete_module": 129,
    "kexec_load": 283,
    "bpf": 357,
    "perf_event_open": 336,
    "userfaultfd": 374,
    "syslog": 103,
    "acct": 51,
    "swapon": 87,
    "swapoff": 115,
    "quotactl": 131,
    "settimeofday": 79,
    "stime": 25,
    "clock_settime": 264,
    "clock_settime64": 404,
    "open_by_handle_at": 342,
    "add_key": 286,
    "request_key": 287,
    "keyctl": 288,
    "iopl": 110,
    "ioperm": 101,
    "lookup_dcookie": 253,
    "uselib": 86,
    "_sysctl": 149,
    "vm86old": 113,
    "vm86": 166,
    "nfsservctl": 169,
}
_GENERIC = _NEW | {
    "init_module": 105,
    "finit_module": 273,
    "delete_module": 106,
    "kexec_load": 104,
    "kexec_file_load": 294,
    "bpf": 280,
    "perf_event_open": 241,
    "userfaultfd": 282,
    "syslog": 116,
    "acct": 89,
    "swapon": 224,
    "swapoff": 225,
    "quotactl": 60,
    "settimeofday": 170,
    "clock_settime": 112,
    "open_by_handle_at": 265,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "lookup_dcookie": 18,
    "nfsservctl": 42,
}
_ARM = _NEW | {
    "init_module": 128,
    "finit_module": 379,
    "delete_module": 129,
    "kexec_load": 347,
    "kexec_file_load": 401,
    "bpf": 386,
    "perf_event_open": 364,
    "userfaultfd": 388,
    "syslog": 103,
    "acct": 51,
    "swapon": 87,
    "swapoff": 115,
    "quotactl": 131,
    "settimeofday": 79,
    "clock_settime": 262,
    "clock_settime64": 404,
    "open_by_handle_at": 371,
    "add_key": 309,
    "request_key": 310,
    "keyctl": 311,
    "lookup_dcookie": 249,
    "uselib": 86,
    "_sysctl": 149,
    "nfsservctl": 169,
}

_AUDIT_X86_64, _AUDIT_I386 = 0xC000003E, 0x40000003
_AUDIT_AARCH64, _AUDIT_ARM, _AUDIT_RISCV64 = 0xC00000B7, 0x40000028, 0xC00000F3
TABLES = {
    "x86_64": {_AUDIT_X86_64: _X86_64, _AUDIT_I386: _I386},
    "aarch64": {_AUDIT_AARCH64: _GENERIC, _AUDIT_ARM: _ARM},
    "riscv64": {_AUDIT_RISCV64: _GENERIC},
}
"""By machine: the AUDIT_ARCH_* values of <linux/audit.h> that run on it, and the numbers of their <asm/unistd.h>."""

_AF_VSOCK, _SOCKET_OF_SOCKETCALL = 40, 1
WITH_FIRST = {
    _AUDIT_X86_64: ((41, _AF_VSOCK),),
    _AUDIT_I386: ((359, _AF_VSOCK), (102, _SOCKET_OF_SOCKETCALL)),
    _AUDIT_AARCH64: ((198, _AF_VSOCK),),
    _AUDIT_ARM: ((281, _AF_VSOCK),),
    _AUDIT_RISCV64: ((198, _AF_VSOCK),),
}
"""Calls refused by their first argument: sockets to the hypervisor, which no network namespace parts. What i386's old
socketcall makes cannot be seen, so it makes none. Answered with EAFNOSUPPORT."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
"""Calls of the x32 ABI have this bit set, under the architecture of x86-64."""
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_FIRST_ARGUMENT = 16
"""Of struct seccomp_data: its lower half, on machines that store it first, as all these do."""

Instruction = tuple[int, int, int, int]
"""One of classic BPF: code, jump when true, jump when false, operand (<linux/filter.h>)."""


def program(machine: str) -> list[Instruction]:
    """The filter for a machine (`uname -m`); empty where the numbers of its calls are not known here."""
    if machine not in TABLES:
        return []
    words: list[Instruction] = [(_LOAD, 0, 0, 4)]
    for arch, numbers in TABLES[machine].items():
        block = _block(numbers, WITH_FIRST[arch], x32=arch == _AUDIT_X86_64)
        words += [(_EQUAL, 0, len(block), arch), *block]
    return [*words, _answer(errno.ENOSYS)]


def _block(numbers: dict[str, int], by_first: Sequence[tuple[int, int]], x32: bool) -> list[Instruction]:
    words: list[Instruction] = [(_LOAD, 0, 0, 0)]
    if x32:
        words += [(_AT_LEAST, 0, 1, _X32), _answer(errno.ENOSYS)]
    for name, number in numbers.items():
        words += [(_EQUAL, 0, 1, number), _answer(errno.ENOSYS if name in ABSENT else errno.EPERM)]
    allowed = (_RETURN, 0, 0, _ALLOW)
    for number, first in by_first:
        refused = [(_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 0, 1, first), _answer(errno.EAFNOSUPPORT), allowed]
        words += [(_EQUAL, 0, len(refused), number), *refused]
    return [*words, allowed]


def _answer(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | error)


def install() -> None:
    """Put the filter on this process and all that it starts; who calls has CAP_SYS_ADMIN in its user namespace."""
    words = program(platform.machine())
    if not words:
        return
    code = b"".join(struct.pack("HBBI", *word) for word in words)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HL", len(words), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), header, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_SECCOMP): {os.strerror(number)}")
