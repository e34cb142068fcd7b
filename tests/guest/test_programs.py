"""Programs that the guest starts, and devices that it reads: limits, exits, environments, what is said of each end."""

import contextlib
import errno
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.guest.conftest import Live

Said = pytest.CaptureFixture[str]
STATE = "var/lib/azure-provisioning"


@pytest.mark.parametrize("spawns", [True, False], ids=["posix_spawn", "fork"])
@pytest.mark.parametrize(
    ("script", "ends"),
    [
        ("echo out; echo err >&2; exit 3", (3, b"out\nerr\n")),
        ("/bin/cat", (0, b"given")),
        ("kill -9 $$", (137, b"")),
        ('[ "$(/bin/ps -o pgid= -p $$)" -eq $$ ] && echo own', (0, b"own\n")),
        ("echo $LC_ALL $MINE", (0, b"C\n")),
        ("/usr/bin/head -c 70000 /dev/zero", (0, b"\0" * 65536)),
    ],
)
def test_how_programs_are_run(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, script: str, ends: tuple[int, bytes], spawns: bool
) -> None:
    if not spawns:
        monkeypatch.delattr(guest.posix, "posix_spawn")
    (live.tools / "x").write_text(f"#!/bin/sh\n{script}\n")
    (live.tools / "x").chmod(0o755)
    before = signal.getsignal(signal.SIGALRM)
    assert guest.spawn(f"{live.tools}/x", ["x"], b"given") == ends
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_program_that_does_not_end_is_ended_with_its_children(guest: ModuleType, live: Live) -> None:
    (live.tools / "x").write_text(f"#!/bin/sh\n/bin/sleep 60 & echo $! >{live.calls}\nwait\n")
    (live.tools / "x").chmod(0o755)
    with pytest.raises(guest.TimeLimit):
        guest.spawn(f"{live.tools}/x", ["x"], limit=0.3)
    with contextlib.suppress(OSError):  # it is gone
        while Path(f"/proc/{live.called()[0]}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            pass  # it was told to end
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_program_is_shown_with_its_own_environment(guest: ModuleType, live: Live, capfd: Said) -> None:
    (live.tools / "x").write_text("#!/bin/sh\necho $A; echo err >&2\n")
    (live.tools / "x").chmod(0o755)
    assert guest.spawn(f"{live.tools}/x", ["x"], environment={b"A": b"1"}, show=True) == (0, b"")
    assert capfd.readouterr() == ("", "1\nerr\n")
    with pytest.raises(OSError):
        guest.spawn(f"{live.tools}/gone", ["gone"])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 4", "x: exit 4"),
        ("echo; echo a; echo b; echo; echo c >&2; exit 1", "x: exit 1: b; c"),
        ("echo one; exit 1", "x: exit 1: one"),
    ],
)
def test_how_a_failed_program_is_told(guest: ModuleType, live: Live, script: str, said: str) -> None:
    live.tool("x", script)
    with pytest.raises(guest.CommandFailed) as raised:
        live.tree.run(["x"])
    assert str(raised.value) == said
    with pytest.raises(guest.CommandFailed) as raised:
        live.tree.run(["gone"])
    assert (str(raised.value), raised.value.status) == ("gone: exit 127: not found", 127)


def test_where_programs_are_found(guest: ModuleType, live: Live, capfd: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    live.tool("x", "echo ran")
    (live.tools / "plain").write_text("")
    assert live.tree.tool("x") == f"{live.tools}/x" and live.tree.tool("plain") == ""
    assert live.tree.run(["x", "1"]) == b"ran\n" and live.tree.run([f"{live.tools}/x"]) == b"ran\n"
    monkeypatch.setitem(guest.posix.environ, b"PATH", f"relative:{live.tools}:/bin".encode())
    assert (live.tree.tool("x"), live.tree.tool("sh")) == (f"{live.tools}/x", "/bin/sh")
    monkeypatch.delitem(guest.posix.environ, b"PATH")
    assert live.tree.tool("x") == "" and live.tree.tool("sh") in ("/usr/bin/sh", "/bin/sh")
    assert not live.tree.has_tool("sudo")
    live.plant({"usr/local/bin/sudo": ""})
    assert live.tree.has_tool("sudo")
    live.tree.dry_run = True
    capfd.readouterr()
    assert live.tree.run(["x", "1"]) == b"" and capfd.readouterr().err == "would run x 1\n"


# -- the owner's programs, and what is kept for them


@pytest.mark.parametrize(
    ("setting", "data", "user", "done", "modes"),
    [
        ("ignore", b"#!/bin/sh\n", b"", "ignored (CUSTOM_DATA=ignore)", {}),
        ("save", b"#!/bin/sh\n", b"", "custom-data, 10 bytes", {"custom-data": 0o600}),
        ("save", b"", b"ab", "user-data, 2 bytes", {"user-data": 0o600}),
        ("run", b"ab", b"", "custom-data, 2 bytes", {"custom-data": 0o600}),
        (
            "run",
            b"#!/bin/sh\n",
            b"a",
            "custom-data, 10 bytes; user-data, 1 bytes; run",
            {"custom-data": 0o700, "user-data": 0o600},
        ),
        ("save", b"", b"", "none given", {}),
    ],
)
def test_what_is_kept_of_the_owners_data(
    guest: ModuleType, live: Live, setting: str, data: bytes, user: bytes, done: str, modes: dict[str, int]
) -> None:
    live.plant({f"{STATE}/": ""})
    wishes = guest.Wishes()
    wishes.custom_data, wishes.user_data = data, user
    settings = {"CUSTOM_DATA": setting, "HOOK_TIMEOUT": "30"}
    assert guest.step_custom_data(live.tree, wishes, settings) == done
    assert {path.name: path.stat().st_mode & 0o7777 for path in (live.root / STATE).iterdir()} == modes


@pytest.mark.parametrize(
    ("script", "timeout", "reason", "facts"),
    [
        ("exit 3", "30", "custom data failed", (("exit", 3),)),
        ("/bin/sleep 60", "1", "custom data timed out", (("limit", "1 s"),)),
    ],
)
def test_custom_data_that_fails(
    guest: ModuleType, live: Live, script: str, timeout: str, reason: str, facts: tuple[Any, ...]
) -> None:
    live.plant({f"{STATE}/": ""})
    wishes = guest.Wishes()
    wishes.custom_data = f"#!/bin/sh\n{script}\n".encode()
    with pytest.raises(guest.Failed) as raised:
        guest.step_custom_data(live.tree, wishes, {"CUSTOM_DATA": "run", "HOOK_TIMEOUT": timeout})
    assert (raised.value.reason, raised.value.facts) == (reason, facts)


def test_data_for_cloud_init_and_a_state_that_cannot_be_kept(guest: ModuleType, live: Live, capfd: Said) -> None:
    wishes = guest.Wishes()
    wishes.custom_data = b"Content-Type: multipart/mixed"
    settings = {"CUSTOM_DATA": "save", "HOOK_TIMEOUT": "30"}
    assert guest.step_custom_data(live.tree, wishes, settings) == "none given"
    assert capfd.readouterr().err == (
        "warning: /var/lib/azure-provisioning/custom-data cannot be kept: No such file or directory\n"
        "warning: custom-data is for cloud-init, which this image does not have: nobody follows it\n"
    )
    live.plant({f"{STATE}/": "", "usr/bin/cloud-init": ""})
    wishes.user_data = b"#cloud-config"
    assert guest.step_custom_data(live.tree, wishes, settings).startswith("custom-data, 29 bytes; user-data, 13")
    assert capfd.readouterr().err == ""
    wishes.custom_data, live.tree.dry_run = b"#!/bin/sh\n", True
    guest.step_custom_data(live.tree, wishes, {**settings, "CUSTOM_DATA": "run"})
    assert capfd.readouterr().err.endswith("would run /var/lib/azure-provisioning/custom-data\n")

    def write(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "full")

    live.tree.write = write
    with pytest.raises(OSError, match="full"):
        guest._keep(live.tree, "x", b"", 0o600)


def test_hooks_have_the_facts_and_their_order(guest: ModuleType, live: Live, capfd: Said) -> None:
    hooks = "etc/azure-provisioning.d"
    shows = (
        'echo "$PATH|$AZURE_VM_ID|$AZURE_VM_NAME|$AZURE_HOSTNAME|$AZURE_LOCATION|$AZURE_ADMIN_USER|$AZURE_ADMIN_HOME'
    )
    shows += '|$AZURE_CUSTOM_DATA|$AZURE_USER_DATA|$AZURE_ROOT" >&2'
    names = {"20-b": 0o755, "10-a": 0o755, ".hidden": 0o755, "old~": 0o755, "plain": 0o644, "30-odd": 0o755}
    live.plant({f"{hooks}/{name}": f"#!/bin/sh\n{shows}\n" for name in names})
    for name, mode in names.items():
        (live.root / hooks / name).chmod(mode)
    live.plant({f"{hooks}/30-odd": "#!/no/such/program\n", f"{hooks}/40-folder/": "", f"{hooks}/50-gone": "-> x"})
    live.plant({"etc/passwd": "ada:x:1000:1000::/home/ada:/bin/sh\n", f"{STATE}/user-data": ""})
    wishes = guest.Wishes()
    wishes.user, wishes.vm_id, wishes.vm_name, wishes.hostname, wishes.location = "ada", "id", "n\0a", "web1", "here"
    with pytest.raises(guest.Failed) as raised:
        guest.step_hooks(live.tree, wishes, {"HOOK_TIMEOUT": "30"})
    assert (raised.value.reason, raised.value.facts) == ("hook 30-odd failed", (("exit", 126),))
    line = f"{live.tools}|id|na|web1|here|ada|/home/ada||{live.root}/{STATE}/user-data|{live.root}\n"
    assert capfd.readouterr().err == (
        f"hooks: running 10-a\n{line}hooks: running 20-b\n{line}hooks: running 30-odd\n"
        "warning: /etc/azure-provisioning.d/30-odd: No such file or directory\n"
    )
    (live.root / hooks / "30-odd").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(guest.Failed) as raised:
        guest.step_hooks(live.tree, wishes, {"HOOK_TIMEOUT": "1"})
    assert (raised.value.reason, raised.value.facts) == ("hook 30-odd timed out", (("limit", "1 s"),))
    (live.root / hooks / "30-odd").unlink()
    capfd.readouterr()
    live.tree.dry_run = True
    assert guest.step_hooks(live.tree, wishes, {"HOOK_TIMEOUT": "1"}) == "10-a, 20-b"
    assert capfd.readouterr().err == f"would run /{hooks}/10-a\nwould run /{hooks}/20-b\n"
    assert guest.step_hooks(guest.Tree("/no", False), wishes, {"HOOK_TIMEOUT": "1"}) == "none"


# -- devices


@pytest.mark.parametrize(
    ("size", "bits", "done"),
    [
        (8, 64, "credited 64 bits of 8 bytes"),
        (32, 256, "credited 256 bits of 32 bytes"),
        (64, 256, "credited 256 bits of 64 bytes"),
    ],
)
def test_random_bytes_are_credited_as_the_kernel_wants_them(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, size: int, bits: int, done: str
) -> None:
    import fcntl

    asked: list[tuple[int, bytes]] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda number, code, info: asked.append((code, info)))
    live.plant({"sys/firmware/acpi/tables/OEM0": "h" * 36 + "r" * size})
    opened = len(list(Path("/proc/self/fd").iterdir()))
    assert guest.step_entropy(live.tree, None, {"ENTROPY": "yes"}) == done
    native = [number.to_bytes(4, "little" if guest.sys.byteorder == "little" else "big") for number in (bits, size)]
    assert asked == [(0x40085203, b"".join(native) + b"r" * size)]
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_where_no_random_bytes_are_credited(guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert guest.step_entropy(live.tree, None, {"ENTROPY": "no"}) == "off (ENTROPY=no)"
    assert guest.step_entropy(live.tree, None, {"ENTROPY": "yes"}) == "the hypervisor gives none"
    live.plant({"sys/firmware/acpi/tables/OEM0": "h" * 36})
    assert guest.step_entropy(live.tree, None, {"ENTROPY": "yes"}) == "the hypervisor gives none"
    live.plant({"sys/firmware/acpi/tables/OEM0": "h" * 37})
    assert guest.step_entropy(live.tree, None, {"ENTROPY": "yes"}) == "the kernel takes none (not permitted)"
    for live.tree.live, live.tree.dry_run in ((False, False), (True, True)):
        assert guest.step_entropy(live.tree, None, {"ENTROPY": "yes"}) == "would credit 1 bytes"


def test_which_devices_are_looked_at_for_the_medium(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("sda", "sr1", "sr0", "loop0", "ram0", "zram0", "dm-0", "md0", "fd0", "nbd0", "nvme0n1")
    live.plant({f"sys/block/{name}/": "" for name in names})
    looked: list[str] = []
    monkeypatch.setattr(guest, "_read_medium_at", lambda tree, path, refused: looked.append(path))
    options = guest.parse_options([])
    assert guest.read_medium(live.tree, options, set()) is None
    assert looked == ["/dev/sr0", "/dev/sr1", "/dev/nvme0n1", "/dev/sda"]
    monkeypatch.setattr(guest, "_read_medium_at", lambda tree, path, refused: path == "/dev/sr1" and path)
    assert guest.read_medium(live.tree, options, set()) == "/dev/sr1"
    options.medium = "none"
    assert guest.read_medium(live.tree, options, set()) is None
    options.medium = "/dev/sr1"
    live.tree.live = False
    assert guest.read_medium(live.tree, options, set()) == "/dev/sr1"
    options.medium = ""
    assert guest.read_medium(live.tree, options, set()) is None


DOCUMENT = (
    '<ns0:Environment xmlns:ns0="http://schemas.dmtf.org/ovf/environment/1" xmlns="http://schemas.microsoft.com/windowsazure">'
    "<ProvisioningSection><LinuxProvisioningConfigurationSet><HostName>web1</HostName></LinuxProvisioningConfigurationSet>"
    "</ProvisioningSection></ns0:Environment>"
)
MOUNT = "mount -o ro,nosuid,nodev,noexec -t udf,iso9660 DISC FOLDER"


@pytest.mark.parametrize(
    ("mark", "mount", "kernel", "name", "refused", "said"),
    [
        (b"CD001", f"echo '{DOCUMENT}' >FOLDER/ovf-env.xml", "udf", "web1", False, ""),
        (b"BEA01", f"echo '{DOCUMENT}' >FOLDER/ovf-env.xml", "", "web1", False, ""),
        (b"XXXXX", "", "", None, False, ""),
        (b"CD001", "", "nodev\tudf", None, True, "warning: DISC: no ovf-env.xml\n"),
        (b"CD001", "", "iso9660", None, True, "warning: DISC: no ovf-env.xml to be seen: this kernel has no UDF\n"),
        (b"CD001", "echo no disc >&2; exit 32", "", None, True, "warning: DISC: mount: exit 32: no disc\n"),
    ],
)  # fmt: skip
def test_a_disc_is_read_and_let_go(
    guest: ModuleType, live: Live, tmp_path: Path, capfd: Said,
    mark: bytes, mount: str, kernel: str, name: str | None, refused: bool, said: str,
) -> None:  # fmt: skip
    disc, folder = tmp_path / "disc", live.root / "run/azure-provisioning/medium"
    disc.write_bytes(b"\0" * 32769 + mark)
    live.plant({"proc/filesystems": kernel + "\n", "run/": ""})
    live.tool("mount", mount.replace("FOLDER", str(folder)))
    live.tool("umount", "exit 0")
    seen: set[str] = set()
    medium = guest._read_medium_at(live.tree, str(disc), seen)
    assert (medium and medium.hostname, bool(seen)) == (name, refused)
    assert not medium or medium.device == str(disc)
    assert capfd.readouterr().err.replace(str(disc), "DISC") == said
    calls = [line.replace(str(disc), "DISC").replace(str(folder), "FOLDER") for line in live.called()]
    assert calls == ([MOUNT] if mark != b"XXXXX" else []) + (["umount FOLDER"] if calls[1:] else [])
    assert bool(calls[1:]) is (mark != b"XXXXX" and "exit 32" not in mount)
    if calls:
        assert [path.stat().st_mode & 0o7777 for path in (folder, folder.parent)] == [0o700, 0o700]
    before = len(live.called())
    if refused:
        assert guest._read_medium_at(live.tree, str(disc), seen) is None and len(live.called()) == before
    live.tree.dry_run = True
    assert guest._read_medium_at(live.tree, str(disc), set()) is None and len(live.called()) == before
    assert guest._read_medium_at(live.tree, str(tmp_path / "gone"), set()) is None


def test_a_disc_that_stays_mounted_is_told(guest: ModuleType, live: Live, tmp_path: Path, capfd: Said) -> None:
    (tmp_path / "disc").write_bytes(b"\0" * 32769 + b"CD001")
    live.plant({"run/azure-provisioning/medium/ovf-env.xml": DOCUMENT})
    live.tool("mount")
    live.tool("umount", "echo busy >&2; exit 32")
    assert guest._read_medium_at(live.tree, str(tmp_path / "disc"), set()).hostname == "web1"
    assert capfd.readouterr().err == f"warning: {tmp_path}/disc stays mounted: umount: exit 32: busy\n"


def test_a_folder_is_a_medium_and_a_document_has_a_limit(guest: ModuleType, live: Live, tmp_path: Path) -> None:
    assert guest._read_medium_at(live.tree, str(tmp_path), set()) is None
    (tmp_path / "ovf-env.xml").write_text(DOCUMENT)
    medium = guest._read_medium_at(live.tree, str(tmp_path), set())
    assert (medium.hostname, medium.device, medium.document) == ("web1", str(tmp_path), DOCUMENT.encode())
    (tmp_path / "ovf-env.xml").write_text(DOCUMENT + " " * (1 << 20))
    with pytest.raises(guest.Failed) as raised:
        guest._read_medium_at(live.tree, str(tmp_path), set())
    assert raised.value.reason == "error parsing ovf-env.xml"
    assert str(raised.value.facts[0][1]) == "it is larger than 1048576 bytes"
    (tmp_path / "ovf-env.xml").unlink()
    (tmp_path / "ovf-env.xml").symlink_to("/etc/passwd")
    assert guest._read_medium_at(live.tree, str(tmp_path), set()) is None


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (0, "; /dev/sr9 ejected"),
        (1, "; /dev/sr9 not ejected (the drive refused)"),
        (None, "; /dev/sr9 not ejected (busy)"),
    ],
)
def test_the_disc_is_ejected(
    guest: ModuleType, live: Live, monkeypatch: pytest.MonkeyPatch, status: int | None, end: str
) -> None:
    import fcntl

    asked: list[Any] = []

    def start(device: str, flags: int) -> int:
        asked.append((device, flags))
        return os.open("/dev/null", os.O_RDONLY)

    def ask(number: int, *words: int) -> int:
        asked.append(words)
        if status is None:
            raise OSError(errno.EBUSY, "busy")
        return status if words[0] == 0x5309 else 0

    monkeypatch.setattr(guest.posix, "open", start)
    monkeypatch.setattr(fcntl, "ioctl", ask)
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (posix.open is another)
    assert guest._eject(live.tree, "/dev/sr9") == end
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL
    assert asked == [("/dev/sr9", flags), (0x5329, 0), (0x5309,)][: 2 if status is None else 3]
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
    assert guest._eject(live.tree, "/srv/medium") == ""
    live.tree.dry_run = True
    assert guest._eject(live.tree, "/dev/sr9") == ""
