"""The program in real python3-minimal trees of Debian, as root, with the real tools, at Azure's real addresses."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.lab import GUEST, command

pytestmark = pytest.mark.long

Need = Callable[..., None]
SUITES = [
    pytest.param("bullseye", marks=pytest.mark.slow),  # a tree takes a minute to build when it is not cached
    "bookworm",
    pytest.param("trixie", marks=pytest.mark.slow),
]
ROOT = Path(__file__).parents[2]


def _scene(need: Need, scene: str, suite: str, *more: str, packages: tuple[str, ...] = ()) -> dict[str, Any]:
    need("ids", "tool:mmdebstrap", "tool:unshare", "tool:zstd", "tool:ip")
    # the tree is built outside, where there is a network; the scene has none
    build = f"from bench.lab import debian; debian(*{(suite, *packages)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True)
    words = command([sys.executable, "-m", "tests.guest.inside", scene, suite, *more])
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.timeout(400)
@pytest.mark.parametrize("suite", SUITES)
def test_a_first_boot_with_everything(need: Need, suite: str) -> None:
    seen = _scene(need, "everything", suite)
    assert seen["status"] == 0 and seen["ready"], seen["said"]
    assert "Provisioned vm1 in" in seen["said"]
    assert "nothing to do" in seen["again"]
    assert not [message for message in seen["findings"] if "again" not in message], seen["findings"]
    assert re.search(r"^azureuser:x:1000:1000:.*:/home/azureuser:/bin/bash$", seen["passwd"], re.MULTILINE)
    assert re.search(r"^sudo:.*azureuser", seen["group"], re.MULTILINE)
    assert re.match(r"azureuser:\$(y|6)\$", seen["shadow"]), "hashed by the distribution's own policy"
    assert (seen["keys"].count("ssh-ed25519"), seen["keys_owner"]) == (1, 1000)
    assert seen["ran"], "custom data ran"
    assert "\n1000\n" in seen["said"], "the hook's output is in the log"
    assert {"ssh_host_ecdsa_key", "ssh_host_ed25519_key", "ssh_host_rsa_key"} <= set(seen["host_keys"])
    assert seen["hostname"] == "vm1"
    assert "parsed OK" in seen["sudo"]
    assert "passwordauthentication yes" in seen["sshd"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("suite", SUITES)
def test_no_module_is_missing_on_any_path(need: Need, suite: str) -> None:
    seen = _scene(need, "imports", suite)
    assert seen["status"] == 0, seen["said"]
    assert {"posix", "_socket", "pyexpat", "hashlib"} <= set(seen["names"])
    assert seen["minimal"], "the tree must be one where http.client is missing"


def test_it_waits_for_the_network_without_hammering(need: Need, tmp_path: Path) -> None:
    need("ids", "tool:unshare", "tool:ip", "tool:strace")
    words = command([sys.executable, "-m", "tests.guest.inside", "late_network", str(tmp_path)])
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["early"] is None, seen["said"]
    assert seen["ready"], seen["said"]
    assert "IMDS: Network is unreachable" in seen["said"]
    assert 1 <= seen["unreachable"] <= 15, "one try at the start, one for each change of the network or second"
    assert seen["connects"] <= 25


def _patterns() -> list[re.Pattern[str]]:
    """The [[runtime]] rows of install.toml as expressions: {a,b}, * within a name, ** across folders."""
    rows = tomllib.loads((GUEST / "install.toml").read_text())["runtime"]
    patterns = []
    for row in rows:
        text = re.escape(row["path"]).replace(r"\{", "(?:").replace(r"\}", ")").replace(",", "|")
        patterns.append(re.compile(text.replace(r"\*\*", ".*").replace(r"\*", "[^/]*") + "$"))
    return patterns


@pytest.mark.timeout(400)
def test_a_run_writes_nothing_that_is_not_listed(need: Need) -> None:
    seen = _scene(need, "writes", "bookworm")
    assert seen["status"] == 0, seen["said"]
    assert len(seen["changed"]) > 12, "the scene must show what a run writes"
    patterns = _patterns()
    unlisted = [path for path in seen["changed"] if not any(pattern.match(path) for pattern in patterns)]
    assert not unlisted


@pytest.mark.timeout(400)
def test_a_plain_first_boot_starts_one_program_and_syncs_what_it_must(need: Need) -> None:
    need("tool:strace")
    seen = _scene(need, "counts", "bookworm")
    assert seen["status"] == 0, seen["said"]
    assert [re.findall(r"[\w-]+", line)[2] for line in seen["execs"]] == ["useradd"], seen["execs"]
    # 5 for the account (the mark, its three files of /etc/skel, the home), 5 for other files, 6 for folders
    assert seen["own_fsyncs"] <= 16
    assert seen["fsyncs"] <= 28
    # where systemd has locked the route to IMDS, what carries its mark gets through; nothing else of ours does
    marked = f"SO_MARK, [{0x7FFF0815}], 4) = 0"
    shown = [marked if marked in call else re.findall(r'"([0-9.]+)"', call)[0] for call in seen["sockets"]]
    assert shown == [marked, "169.254.169.254", "168.63.129.16", "168.63.129.16"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", ["python", "sh"])
def test_all_of_a_new_home_is_on_the_disk_before_ready(need: Need, program: str) -> None:
    """useradd copies folders of /etc/skel, too, and syncs nothing of them."""
    need("tool:strace")
    seen = _scene(need, "skeleton", "bookworm", program, packages=("curl",))
    assert seen["status"] == 0, seen["said"]
    assert {"/.bashrc", "/.config/app/settings", "/.config/app", "/.config"} <= set(seen["synced"]), seen["synced"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", ["python", "sh"])
def test_a_root_on_lvm_grows_and_other_layers_are_named(need: Need, program: str) -> None:
    """Tools in between only note how they were called; the layers themselves are a made-up /proc and /sys."""
    seen = _scene(need, "layers", "bookworm", program, packages=("curl",))
    lvm = seen.pop("LVM")
    assert [line.split()[0] for line in lvm["tools"]] == ["growpart", "pvresize", "lvextend", "xfs_growfs"], lvm
    assert lvm["tools"][:3] == [
        "growpart /dev/sda 4",
        "pvresize /dev/sda4",
        "lvextend -l +100%FREE /dev/mapper/rootvg-rootlv",
    ]
    assert "fills its volume group" in lvm["said"]
    for name, other in seen.items():
        assert other["tools"] == [], name
        layer = name.partition(" ")[0]
        assert f"the root file system is on {layer}: grow it yourself" in other["said"], (name, other["said"])
        assert "fills" not in other["said"]
