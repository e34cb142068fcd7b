"""`azready prepare` on real Debian trees, by the command itself: what goes, what stays, what a cut off run leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azready.errors import Failure
from azready.image.actions import Action, Remove
from azready.image.apply import apply
from azready.image.facts import Facts, leftovers
from azready.image.preparation import Options, plan
from azready.image.removal import dpkg
from azready.image.targets.tree import Tree
from azready.installed import manifest
from tests.cli.schemas import conforms
from tests.image.conftest import Azready, CopyTree
from tests.image.sample import good_image

WAAGENT = ("bookworm", ("waagent",))
BOTH = ("bookworm", ("waagent", "cloud-init", "netplan.io"), "none")
ENABLED = "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"


def packages(root: Path) -> dict[str, str]:
    status = (root / dpkg.STATUS).read_text()
    return {package.name: package.state for package in dpkg.parse_status(status)}


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    with Tree(root) as tree:
        return {path: (s.kind, s.mode, s.uid, s.gid, s.size, s.mtime) for path, s in tree.walk("")}


def assert_prepared(root: Path) -> None:
    with Tree(root) as tree:
        assert (
            leftovers.find_leftovers(tree, [name for name, state in packages(root).items() if state != "not-installed"])
            == []
        )
        assert os.access(root / tree.readlink(ENABLED).lstrip("/"), os.R_OK)
        assert tree.stat("usr/lib/azure-provisioning/provision.py").mode == 0o755
        assert not tree.exists("usr/sbin/policy-rc.d")
        assert not [path for path, _ in tree.walk("etc") if path.endswith(".azready")]
    audit = subprocess.run(["chroot", root, "dpkg", "--audit"], capture_output=True, text=True, check=True)
    assert audit.stdout == ""


@pytest.mark.long
def test_waagent_goes_and_the_guest_program_comes(copy_tree: CopyTree, azready: Azready) -> None:
    root = copy_tree(*WAAGENT)
    before = set(packages(root))
    planned = azready("prepare", root, "--dry-run", "--output", "json")
    assert planned.returncode == 0, planned.stderr
    assert "waagent: package waagent" in json.loads(planned.stdout)["found"]
    done = azready("prepare", root)
    assert done.returncode == 0, done.stderr
    assert_prepared(root)
    assert before - set(packages(root)) == {"waagent"}
    again = azready("prepare", root, "--output", "json")
    assert again.returncode == 0
    assert not [each for each in conforms("prepare", again.stdout)["actions"] if each["changed"]]


@pytest.mark.long
def test_a_dry_run_changes_nothing(copy_tree: CopyTree, azready: Azready) -> None:
    root = copy_tree(*WAAGENT)
    before = snapshot(root)
    assert azready("prepare", root, "--dry-run").returncode == 0
    assert snapshot(root) == before


@pytest.mark.long
def test_cloud_init_goes_and_its_network_stays(copy_tree: CopyTree, azready: Azready) -> None:
    root = copy_tree(*BOTH)
    (root / "etc/netplan/50-cloud-init.yaml").write_text("network:\n  ethernets:\n    eth0:\n      dhcp4: true\n")
    (root / "etc/sudoers.d/wheel").write_text("%wheel ALL=(ALL) ALL\n")  # the last rule counts: ours must sort after it
    (root / "etc/sudoers.d/90-cloud-init-users").write_text("root ALL=(ALL) NOPASSWD:ALL\nnobody-here ALL=(ALL) ALL\n")
    (root / "etc/cloud/cloud.cfg.d/90-own.cfg").write_text("datasource_list: [Azure]\n")
    (root / "var/lib/cloud/instance").mkdir(parents=True)
    done = azready("prepare", root, "--guest", "python", "--no-clone-guard", "--set", "KVP=no")
    assert done.returncode == 0, done.stderr
    assert_prepared(root)
    assert [path.name for path in (root / "etc/netplan").iterdir()] == ["50-azure-dhcp.yaml"]
    assert (root / "etc/sudoers.d/zz-90-azure-provisioning").read_text() == "root ALL=(ALL) NOPASSWD:ALL\n"
    assert not list(root.glob("**/azure-provisioning-clone.service"))
    settings = (root / "etc/azure-provisioning.conf").read_text().splitlines()
    assert {line for line in settings if line and not line.startswith("#")} == {"KVP=no", "GROW=yes"}
    netplan = subprocess.run(["chroot", root, "netplan", "get"], capture_output=True, text=True, check=True)
    assert "dhcp4: true" in netplan.stdout
    swept = ["chroot", root, "apt-get", "--simulate", "autoremove"]
    simulated = subprocess.run(swept, capture_output=True, text=True, check=True).stdout
    assert not [line for line in simulated.splitlines() if line.startswith(("Remv netplan", "Remv isc-dhcp", "Remv python3 "))]  # fmt: skip  # noqa: E501


def kill_when(root: Path, seen: str, after: float) -> list[str]:
    """Run `prepare`, kill it `after` seconds after a line that holds `seen`, and return the lines until then."""
    argv = [sys.executable, "-m", "azready", "prepare", str(root)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if seen in line:
                time.sleep(after)
                process.send_signal(signal.SIGKILL)
                break
        else:
            pytest.fail(f"never said {seen!r}: {lines}")
    return lines


@pytest.mark.long
@pytest.mark.parametrize(
    ("seen", "after"),
    [
        ("make the folder", 0.0),
        ("write /usr/lib/azure-provisioning/provision.py", 0.0),
        ("write /usr/sbin/policy-rc.d", 0.0),
        ("write /usr/sbin/policy-rc.d", 0.15),
        ("write /usr/sbin/policy-rc.d", 0.35),
        ("dpkg --purge", 0.0),
    ],
)
def test_a_killed_run_is_completed_by_the_next(copy_tree: CopyTree, azready: Azready, seen: str, after: float) -> None:
    root = copy_tree(*WAAGENT)
    mounts = Path("/proc/self/mounts").read_text()
    kill_when(root, seen, after)
    new = set(Path("/proc/self/mounts").read_text().splitlines()) - set(mounts.splitlines())
    assert not [line for line in new if str(root) in line]
    time.sleep(0.1)  # the kernel ends the namespace's processes after the one that held it
    done = azready("prepare", root)
    assert done.returncode == 0, done.stderr
    assert_prepared(root)


@pytest.mark.long
def test_a_package_script_that_fails_is_said_and_fixed(copy_tree: CopyTree, azready: Azready) -> None:
    root = copy_tree(*WAAGENT)
    script = root / "var/lib/dpkg/info/waagent.prerm"
    right = script.read_text()
    script.write_text("#!/bin/sh\necho the script is broken >&2\nexit 3\n")
    failed = azready("prepare", root)
    assert failed.returncode == 3
    assert "the script is broken" in failed.stderr
    assert "same command" in failed.stderr
    assert not (root / "usr/sbin/policy-rc.d").exists()
    script.write_text(right)
    assert azready("prepare", root).returncode == 0
    assert_prepared(root)


@pytest.mark.long
def test_an_image_of_another_architecture_is_said(copy_tree: CopyTree, azready: Azready) -> None:
    root = copy_tree(*WAAGENT)
    for program in ("usr/bin/dpkg", "usr/bin/dash"):
        elf = bytearray((root / program).read_bytes())
        elf[18:20] = (0x2A).to_bytes(2, "little")  # e_machine: SuperH, for which nobody has an emulator registered
        (root / program).write_bytes(elf)
    failed = azready("prepare", root)
    assert failed.returncode == 3
    assert "another architecture" in failed.stderr


@pytest.mark.long
def test_nothing_of_a_package_script_leaks(copy_tree: CopyTree, azready: Azready, tmp_path: Path) -> None:
    """A script that leaves a daemon, mounts, and looks for the network: all of it stays in its namespaces."""
    root = copy_tree(*WAAGENT)
    script = root / "var/lib/dpkg/info/waagent.prerm"
    script.write_text(
        "#!/bin/sh\n(sleep 987 &)\nmount -t tmpfs leak /mnt\nhostname leaked\n"
        "cat /proc/net/dev >/var/lib/interfaces\nls /dev >/var/lib/devices\n" + script.read_text().partition("\n")[2]
    )
    name = os.uname().nodename
    assert azready("prepare", root).returncode == 0
    assert os.uname().nodename == name
    assert "leak" not in Path("/proc/self/mounts").read_text()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert b"sleep\x00987\x00" not in commands
    interfaces = (root / "var/lib/interfaces").read_text().splitlines()[2:]
    assert all(line.strip().startswith("lo:") for line in interfaces)
    assert "loop-control" not in (root / "var/lib/devices").read_text()


@pytest.mark.long
@pytest.mark.parametrize("limit", ["size=8m", "ro"])
def test_no_room_or_read_only_is_said_before_anything(copy_tree: CopyTree, tmp_path: Path, limit: str) -> None:
    root = copy_tree(*WAAGENT)
    upper = tmp_path / "upper"
    upper.mkdir()
    room, writable = ("size=64m", "ro,") if limit == "ro" else (limit, "")
    script = f"""
        mount -t tmpfs -o {room} tmpfs {upper}
        cd {upper}; mkdir u w m
        mount -t overlay -o {writable}lowerdir={root},upperdir=u,workdir=w overlay m
        status=0; {sys.executable} -m azready prepare {upper}/m || status=$?
        find u -mindepth 1 | wc -l
        exit $status
    """
    argv = ["unshare", "--mount", "sh", "-ec", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert ("free space" if limit != "ro" else "read-only") in done.stderr
    assert done.stdout.split()[-1] == "0"


def small_tree(root: Path) -> None:
    for folder in ("etc", "usr/bin", "usr/sbin", "var"):
        (root / folder).mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    (root / "etc/os-release").write_text('ID=debian\nPRETTY_NAME="Small"\n')
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/systemd").touch()
    (root / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    (root / "usr/bin/python3.11").touch()
    (root / "usr/bin/python3").symlink_to("python3.11")


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "words", "status", "said"),
    [
        ("rm -r etc", (), 3, "not the root of a Linux system"),
        ("rm etc/passwd", (), 3, "not the root of a Linux system"),
        ("rm usr/bin/python3", (), 3, "neither Python"),
        ("rm usr/bin/python3", ("--guest", "python"), 3, "no /usr/bin/python3"),
        ("cd usr/bin; ln -sf python3.5 python3; touch python3.5", ("--guest", "python"), 3, "3.5"),
        ("rm usr/sbin/init; ln -s /weird usr/sbin/init", (), 3, "not known"),
        ("mkdir -p ostree/repo", (), 3, "built as an image"),
        ("echo ID=flatcar >etc/os-release", (), 3, "built as an image"),
        (":", ("--guest", "ruby"), 2, "use one of"),
        (":", ("--set", "KVP=maybe"), 2, "yes, no"),
        (":", ("--set", "NONE=1"), 2, "DEADLINE"),
        (":", ("--set", "DEADLINE=soon"), 2, "seconds"),
    ],
)  # fmt: skip
def test_what_cannot_be_prepared_is_said_and_left_alone(
    tmp_path: Path,
    azready: Azready,
    need: Callable[..., None],
    change: str,
    words: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    need("root")
    small_tree(tmp_path)
    subprocess.run(["sh", "-ec", change], cwd=tmp_path, check=True)
    before = snapshot(tmp_path)
    done = azready("prepare", tmp_path, *words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert "what to do" in done.stderr
    assert snapshot(tmp_path) == before


@pytest.mark.long
def test_targets_that_are_none_are_said(tmp_path: Path, azready: Azready, need: Callable[..., None]) -> None:
    need("ids")
    assert azready("prepare", tmp_path / "none").returncode == 2
    assert azready("prepare", "http://x").returncode == 2
    assert azready("prepare", "/dev/null").returncode == 2


@pytest.mark.long
def test_a_running_system_is_not_changed_without_yes(azready: Azready, need: Callable[..., None]) -> None:
    need("root")
    done = azready("prepare", "/")
    assert done.returncode != 0
    assert not Path("/usr/lib/azure-provisioning").exists()


def test_sh_is_chosen_where_there_is_no_python(tmp_path: Path) -> None:
    small_tree(tmp_path)
    (tmp_path / "usr/bin/python3").unlink()
    (tmp_path / "usr/bin/curl").touch()
    from azready.image.parts.guest_program import choose_guest

    with Tree(tmp_path) as tree:
        assert choose_guest(tree, "auto") == "sh"


def test_settings_that_are_there_are_kept(tmp_path: Path) -> None:
    small_tree(tmp_path)
    (tmp_path / "etc/azure-provisioning.conf").write_text("# mine\nREPORT=json\nGROW=no\n")
    with Tree(tmp_path) as tree:
        actions = plan(Facts(tree), Options(settings={"GROW": "yes", "KVP": "no"})).actions
    data = next(action.data for action in actions if getattr(action, "path", "") == "etc/azure-provisioning.conf")  # type: ignore[union-attr]
    assert data == b"# mine\nREPORT=json\nGROW=yes\nKVP=no\n"


PLACES = ("etc/init.d", "etc/rcS.d", "etc/rc2.d", "etc/runit/core-services", "etc/ssh/sshd_config.d")


def planned(root: Path, **options: Any) -> dict[str, Action]:
    with Tree(root) as tree:
        return {getattr(action, "path", ""): action for action in plan(Facts(tree), Options(**options)).actions}


@pytest.mark.parametrize("init", ["systemd", "openrc", "sysv", "runit", "busybox"])
def test_everything_of_the_manifest_is_installed(tmp_path: Path, init: str) -> None:
    small_tree(tmp_path)
    (tmp_path / "usr/bin/nft").touch()
    for place in PLACES:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
    rows = [
        row
        for row in (*manifest()["file"], *manifest()["link"])
        if row["init"] in ("any", init) and row["guest"] in ("any", "python") and row.get("job") != "report"
    ]
    wanted = {row.get("target", row.get("path", "")).strip("/") for row in rows if row.get("option") != "extension"}
    assert wanted <= planned(tmp_path, init=init, firewall=True, settings={"REPORT": "none"}).keys()


@pytest.mark.parametrize(
    ("init", "program", "says"),
    [
        ("systemd", "ls", "no nft"),
        ("runit", "nft", "there is no /etc/rcS.d or /etc/runit/core-services"),
        ("busybox", "nft", "there is no /etc/init.d"),
    ],
)
def test_a_firewall_that_nothing_would_start_is_refused(tmp_path: Path, init: str, program: str, says: str) -> None:
    small_tree(tmp_path)
    (tmp_path / "usr/bin" / program).touch()
    with pytest.raises(Failure, match=says):
        planned(tmp_path, init=init, firewall=True)


@pytest.mark.parametrize("init", ["systemd", "openrc", "sysv"])
def test_an_option_that_is_off_now_is_undone(tmp_path: Path, init: str, need: Callable[..., None]) -> None:
    need("root")
    small_tree(tmp_path)
    (tmp_path / "usr/bin/nft").touch()
    with_both = planned(tmp_path, init=init, firewall=True)
    with_none = planned(tmp_path, init=init, clone_guard=False)
    with Tree(tmp_path) as tree:
        apply([action for path, action in with_both.items() if path not in ("", "usr/bin/nft")], tree)
    undone = planned(tmp_path, init=init, clone_guard=False)
    assert {
        path for path, action in undone.items() if isinstance(action, Remove)
    } == with_both.keys() - with_none.keys()


def test_a_busybox_without_init_scripts_is_told_what_its_inittab_needs(tmp_path: Path) -> None:
    small_tree(tmp_path)
    with Tree(tmp_path) as tree:
        assert any("::once:" in note for note in plan(Facts(tree), Options(init="busybox")).notes)
    (tmp_path / "etc/inittab").write_text("::once:/usr/lib/azure-provisioning/boot provision\n")
    with Tree(tmp_path) as tree:
        assert not any("::once:" in note for note in plan(Facts(tree), Options(init="busybox")).notes)


@pytest.mark.long
def test_an_image_without_an_address_is_not_said_to_provision_itself(tmp_path: Path, azready: Azready) -> None:
    sample = good_image(tmp_path).write("usr/bin/curl", "", 0o755)
    sample.disable("systemd-networkd").unit("NetworkManager")
    sample.write("etc/NetworkManager/conf.d/a.conf", "[keyfile]\nunmanaged-devices=*\n")
    done = azready("prepare", sample.root)
    assert "unmanaged-devices=* leaves eth0 out" in done.stdout
    assert "Prepared, and yet" in done.stdout and "it provisions itself at" not in done.stdout
