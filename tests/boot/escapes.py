"""Ways out of a container, tried by the guest's PID 1: `escapes.py SECRET`, where SECRET is a file of the host.

Prints `held NAME: why` or `ESCAPED NAME: what` for each. Whatever could be written is written with what stood there.
"""

import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

SECRET = sys.argv[1]
LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
BIND, REMOUNT, REC = 4096, 32, 16384
TRIALS: list[Callable[[], str | None]] = []
WORK = "/run/escapes"
MAP_32BIT = 0x40


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


OPEN = [os.readlink(f"/proc/self/fd/{each}") for each in range(1024) if _is_open(each)]
"""What init was started with."""


def trial(function: Callable[[], str | None]) -> Callable[[], str | None]:
    """A way out: returns what it got, or raises OSError where it is closed, or returns None where there is nothing."""
    TRIALS.append(function)
    return function


def checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(number: int, *words: object) -> int:
    return checked(LIBC.syscall(ctypes.c_long(number), *words), f"system call {number}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    checked(LIBC.mount(*words), f"mount {kind or source}")


def fresh(kind: str, data: str = "") -> Path:
    place = f"{WORK}/{kind}-{len(os.listdir(WORK))}"
    os.mkdir(place)
    mount(kind, place, kind, 0, data)
    return Path(place)


def rewrite(path: str | Path) -> str:
    old = Path(path).read_bytes() if os.access(path, os.R_OK) else b"\n"
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, old)
    finally:
        os.close(descriptor)
    return f"wrote {path}"


def apart(work: Callable[[], str | None]) -> str | None:
    """In a child, so that namespaces and mounts of this process stay."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(into, b"+" + (work() or "").encode())
        except BaseException as error:
            os.write(into, b"-" + str(error).encode())
        os._exit(0)
    os.close(into)
    said = os.read(out, 4096).decode()
    os.waitpid(child, 0)
    if said.startswith("-"):
        raise OSError(said[1:])
    return said[1:] or None


def device(kind: int, major: int, minor: int) -> str:
    path = f"{WORK}/node-{major}-{minor}"
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    return f"opened device {major}:{minor}"


# --- the kernel's settings ---


@trial
def core_pattern_below_the_masks() -> str | None:
    def work() -> str:
        LIBC.unshare(NEWNS)
        for path in (b"/proc/sys/net", b"/proc/sys", b"/proc/sys"):
            LIBC.umount2(path, 2)
        return rewrite("/proc/sys/kernel/core_pattern")

    return apart(work)


@trial
def core_pattern_of_a_fresh_proc() -> str | None:
    return rewrite(fresh("proc") / "sys/kernel/core_pattern")


@trial
def core_pattern_in_a_nested_namespace() -> str | None:
    def work() -> str:
        checked(LIBC.unshare(NEWUSER | NEWNS), "unshare")
        return rewrite(fresh("proc") / "sys/kernel/core_pattern")

    return apart(work)


@trial
def settings_mounted_writable() -> str | None:
    mount("", "/proc/sys", "", REMOUNT | BIND)
    return rewrite("/proc/sys/kernel/core_pattern")


@trial
def sysrq() -> str | None:
    descriptor = os.open(fresh("proc") / "sysrq-trigger", os.O_WRONLY)
    os.close(descriptor)
    return "opened sysrq-trigger"


@trial
def memory_overcommit() -> str | None:
    return rewrite(fresh("proc") / "sys/vm/overcommit_memory")


@trial
def binfmt() -> str | None:
    path = fresh("proc") / "sys/fs/binfmt_misc"
    mount("binfmt_misc", str(path), "binfmt_misc")
    own = Path("/proc/sys/fs/binfmt_misc")  # since Linux 6.7 each user namespace has its own table
    return None if os.stat(path).st_dev != os.stat(own).st_dev else rewrite(path / "status")


@trial
def another_process_is_spared_by_the_killer() -> str | None:
    Path("/proc/self/oom_score_adj").write_text("-1000")
    return "may not be killed for memory"


# --- sysfs and its kin ---


@trial
def sysfs_made_writable() -> str | None:
    mount("", "/sys", "", REMOUNT | BIND)
    paths = [*Path("/sys/kernel").glob("uevent_*"), *Path("/sys/module").glob("*/parameters/*")]
    return _any(paths)


@trial
def a_fresh_sysfs() -> str | None:
    place = fresh("sysfs")
    return _any([place / "kernel/uevent_helper", place / "power/state", *(place / "module").glob("*/parameters/*")])


def _any(paths: list[Path]) -> str:
    error: OSError = OSError("nothing there")
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY))
            return f"opened {path} for writing"
        except OSError as refused:
            error = refused
    raise error


def _kernel_file_system(kind: str) -> Callable[[], str | None]:
    def work() -> str | None:
        place = fresh(kind)
        return f"mounted {kind}: {os.listdir(place)[:3]}"

    work.__name__ = f"mounts_{kind}"
    return work


for each in ("debugfs", "tracefs", "securityfs", "configfs", "pstore", "devtmpfs", "efivarfs"):
    trial(_kernel_file_system(each))


# --- control groups ---


@trial
def release_agent() -> str | None:
    for names in ("memory", "pids", "devices", "name=systemd", "rdma", "misc"):
        place = f"{WORK}/cg-{names}"
        os.mkdir(place)
        try:
            mount("cgroup", place, "cgroup", 0, ("none," if "=" in names else "") + names)
        except OSError:
            continue
        if os.path.exists(f"{place}/release_agent"):
            return rewrite(f"{place}/release_agent")
    raise OSError("no hierarchy of version 1 with a release agent")


@trial
def limits_of_the_host() -> str | None:
    for names in ("memory", "pids", "devices", "cpu"):
        place = f"{WORK}/cg-{names}"
        os.makedirs(place, exist_ok=True)
        try:
            mount("cgroup", place, "cgroup", 0, names)
        except OSError:
            continue
        return rewrite(f"{place}/cgroup.procs")
    return rewrite(fresh("cgroup2") / "../cgroup.subtree_control")


# --- devices ---


@trial
def disks_of_the_host() -> str | None:
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor = map(int, line.split()[:2])
        return device(0o060000, major, minor)
    raise OSError("no disk is known")


@trial
def physical_memory() -> str | None:
    return device(0o020000, 1, 1)


@trial
def kernel_log() -> str | None:
    return device(0o020000, 1, 11)


@trial
def a_disk_mounted_by_number() -> str | None:
    line = Path("/proc/partitions").read_text().splitlines()[2].split()
    path = f"{WORK}/disk"
    os.mknod(path, 0o060600, os.makedev(int(line[0]), int(line[1])))
    os.mkdir(f"{WORK}/disk-mount")
    mount(path, f"{WORK}/disk-mount", "ext4", 1)
    return "mounted"


@trial
def a_loop_device() -> str | None:
    return device(0o020000, 10, 237)


@trial
def fuse_and_kvm() -> str | None:
    return device(0o020000, 10, 232)


# --- system calls ---


@trial
def a_file_of_the_host_by_handle() -> str | None:
    root = os.open("/", os.O_RDONLY)
    handle = struct.pack("IiQ", 8, 1, 2)  # inode 2: the root folder of ext4
    return f"opened {call(304, root, handle, os.O_RDONLY)}"


@trial
def a_kernel_module() -> str | None:
    call(175, b"\x7fELF", ctypes.c_ulong(4), b"")
    return "loaded"


@trial
def another_kernel() -> str | None:
    call(246, ctypes.c_ulong(0), ctypes.c_ulong(0), None, ctypes.c_ulong(0))
    return "unloaded the crash kernel"


@trial
def bpf() -> str | None:
    attributes = struct.pack("IIII", 2, 4, 4, 1).ljust(72, b"\0")  # an array of one element
    return f"map {call(321, 0, attributes, 72)}"


@trial
def performance_counters() -> str | None:
    attributes = struct.pack("IIQ", 1, 112, 0).ljust(112, b"\0")
    return f"counter {call(298, attributes, -1, 0, -1, 0)}"


@trial
def keyring_of_the_caller() -> str | None:
    return f"session keyring {call(250, 0, ctypes.c_long(-3), ctypes.c_long(0))}"


@trial
def the_clock() -> str | None:
    now = time.clock_gettime(time.CLOCK_REALTIME)
    time.clock_settime(time.CLOCK_REALTIME, now)
    return "set the clock"


@trial
def swap() -> str | None:
    checked(LIBC.swapon(b"/run/escapes", 0), "swapon")
    return "swapped"


@trial
def a_process_before_all_others() -> str | None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "is real-time"


@trial
def ring_zero_ports() -> str | None:
    checked(LIBC.iopl(3), "iopl")
    return "has the ports"


@trial
def io_uring() -> str | None:
    return f"ring {call(425, 1, bytes(120))}"


# --- files, processes, network of the host ---


@trial
def the_root_before_pivot() -> str | None:
    for path in (SECRET, f"/proc/1/root{SECRET}", f"/proc/1/cwd/{'../' * 20}{SECRET}"):
        if os.path.exists(path):
            return Path(path).read_text()
    raise OSError("not there")


@trial
def chroot_and_back() -> str | None:
    def work() -> str | None:
        outside = os.open("/", os.O_RDONLY)
        os.chroot(WORK)
        os.fchdir(outside)
        for _ in range(64):
            os.chdir("..")
        os.chroot(".")
        return Path(SECRET).read_text()

    return apart(work)


@trial
def what_lies_below_the_root() -> str | None:
    def work() -> str | None:
        checked(LIBC.unshare(NEWNS), "unshare")
        checked(LIBC.umount2(b"/", 2), "umount /")
        return Path(SECRET).read_text()

    return apart(work)


@trial
def descriptors_left_open() -> str | None:
    foreign = [link for link in OPEN if not link.startswith(("/dev/", "pipe:", "/proc", "/run"))]
    if foreign:
        return f"{foreign}"
    raise OSError(f"only {OPEN}")


@trial
def processes_of_the_host() -> str | None:
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) > os.getpid() + 1000]
    if others:
        return f"sees {others}"
    raise OSError("only its own are seen")


@trial
def namespaces_of_the_host() -> str | None:
    for number in (1, os.getppid()):
        if number and os.readlink(f"/proc/{number}/ns/user") != os.readlink("/proc/self/ns/user"):
            return "another user namespace is in reach"
    raise OSError("no process of another namespace is seen")


@trial
def a_way_out_of_the_network() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("192.0.2.1", 9))
    return "has a route out"


@trial
def the_hypervisor() -> str | None:
    """Its sockets belong to the machine, and to no network namespace."""
    with socket.socket(40, socket.SOCK_STREAM):
        return "has a socket to the hypervisor"


@trial
def the_hypervisor_by_an_old_way() -> str | None:
    """As a program of 32 bits, by int 0x80 (code in memory): socketcall, whose arguments no filter sees."""
    if os.uname().machine != "x86_64":
        raise OSError("there is none")
    place = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT, prot=7)
    at = ctypes.addressof(ctypes.c_char.from_buffer(place))
    code = b"\x53\xb8\x66\0\0\0\xbb\x01\0\0\0\xb9" + struct.pack("<I", at + 64) + b"\xcd\x80\x5b\xc3"
    place[: len(code)] = code  # push rbx; eax = socketcall, ebx = SYS_SOCKET, ecx = its arguments; int 0x80
    place[64:76] = struct.pack("<III", 40, socket.SOCK_STREAM, 0)
    got = ctypes.CFUNCTYPE(ctypes.c_int)(at)()
    if got < 0:
        raise OSError(-got, os.strerror(-got))
    return f"descriptor {got}"


@trial
def terminal_of_the_caller() -> str | None:
    with open("/dev/tty", "rb+", buffering=0) as terminal:
        fcntl.ioctl(terminal, 0x5412, b"\n")
        return None if os.ttyname(terminal.fileno()) == os.ttyname(0) else "typed into another terminal"


# --- more of the kernel, and of who started this ---


@trial
def a_program_of_the_host_that_is_running() -> str | None:
    """As in CVE-2019-5736: what runs here and lies outside is opened by its process, and then for writing."""
    for name in [name for name in os.listdir("/proc") if name.isdigit()]:
        path = f"/proc/{name}/exe"
        if os.path.exists(path) and not os.path.samefile(path, os.readlink(path)):
            os.close(os.open(f"/proc/self/fd/{os.open(path, os.O_RDONLY)}", os.O_WRONLY))
            return f"opened {path} for writing"
    raise OSError("every program that runs lies in the tree")


@trial
def faults_handled_in_user_space() -> str | None:
    return f"descriptor {call(323, ctypes.c_int(0))}"


@trial
def memory_of_who_started_it() -> str | None:
    if os.getppid() == 0:
        raise OSError("the parent is not seen")
    os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR))
    return None if Path(f"/proc/{os.getppid()}/root/{SECRET}").exists() is False else "has the parent's memory"


@trial
def a_key_in_the_kernel() -> str | None:
    return f"key {call(248, b'user', b'azready', b'x', ctypes.c_long(1), ctypes.c_int(-3))}"


@trial
def the_log_of_the_kernel() -> str | None:
    return f"read {call(103, ctypes.c_int(3), ctypes.create_string_buffer(64), ctypes.c_int(64))} bytes"


@trial
def accounting_of_processes() -> str | None:
    Path(f"{WORK}/acct").touch()
    checked(LIBC.acct(f"{WORK}/acct".encode()), "acct")
    LIBC.acct(None)
    return "wrote down every process"


@trial
def watching_all_files() -> str | None:
    return f"descriptor {call(300, ctypes.c_uint(0x8), ctypes.c_uint(0))}"  # with FAN_CLASS_PRE_CONTENT


@trial
def a_descriptor_of_another_process() -> str | None:
    for name in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
        pidfd = call(434, ctypes.c_int(int(name)), ctypes.c_uint(0))
        if os.path.exists(f"/proc/{name}/root{SECRET}"):
            return f"took {call(438, ctypes.c_int(pidfd), ctypes.c_int(0), ctypes.c_uint(0))}"
    raise OSError("no process outside is seen")


@trial
def sockets_without_a_name_in_the_tree() -> str | None:
    """Abstract sockets belong to a network: the host's are in another."""
    own = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "@" in line}
    foreign = [name for name in own if any(word in name for word in ("X11", "dbus", "containerd", "azready"))]
    if foreign:
        return f"sees {foreign}"
    raise OSError(f"only {sorted(own)}")


@trial
def a_tunnel_and_a_helper_of_virtual_machines() -> str | None:
    return device(0o020000, 10, 200) and device(0o020000, 10, 238)


@trial
def the_kernels_memory_by_proc() -> str | None:
    with open(fresh("proc") / "kcore", "rb") as core:
        core.read(64)
    return "read kcore"


@trial
def a_mount_that_the_host_sees() -> str | None:
    with open("/proc/self/mountinfo") as table:
        shared = [line.split()[4] for line in table if " shared:" in line.partition(" - ")[0] or " master:" in line]
    outside = [place for place in shared if not os.path.ismount(place)]
    if outside:
        return f"shares {outside}"
    raise OSError("every mount is its own, or was shared inside")


os.makedirs(WORK, exist_ok=True)
for function in TRIALS:
    name = function.__name__
    try:
        got = function()
        print(f"held {name}: nothing there" if got is None else f"ESCAPED {name}: {got}", flush=True)
    except Exception as error:
        print(f"held {name}: {error}", flush=True)
print(f"tried {len(TRIALS)}", flush=True)
print("\n".join(Path("/proc/self/status").read_text().splitlines()), flush=True)
if os.getpid() == 1:
    time.sleep(3600)
