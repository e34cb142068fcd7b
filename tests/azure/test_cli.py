"""The verbs as a user runs them: the real command, Azure's public names, in a namespace where these are the fake."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from azready.azure.state import alone
from azready.image.disk.formats import vhd
from tests.azure import netns, real_az
from tests.azure.blobs import Blob, FileStore, serving_blob
from tests.azure.fake_arm.model import SUBSCRIPTION, TENANT, Arm, Guest
from tests.azure.fake_arm.server import Fault, serving
from tests.azure.samples import NO_ROOT, kinds
from tests.cli.schemas import conforms

pytestmark = pytest.mark.timeout(120)
MIB = 1024 * 1024
EXT4 = b"\x53\xef"
"""The magic number in a superblock: as much of a file system as a disk must have to be taken for one."""
IMAGE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/images/x"
LOGIN = {
    "AZURE_CLIENT_ID": "00000000-0000-4000-8000-000000000001",
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_SECRET": "secret",
    "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
}


@pytest.fixture
def user(authority: SimpleNamespace, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """`.run(*words, env=…)` azready; `.arm`, `.server` the Azure it talks to."""
    assert netns.only_loopback()
    arm = Arm(retry_after=1)
    env = {**real_az.environment(tmp_path, authority.ca), **LOGIN, "COLUMNS": "120"}
    env["PATH"] = f"{tmp_path}/bin:{env['PATH']}"
    (tmp_path / "bin").mkdir()

    def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "azready", *words]
        inside = real_az.in_namespace(argv, tmp_path / "hosts")
        kept = {name: value for name, value in (env | changes).items() if value}
        return subprocess.run(
            inside, env=kept, capture_output=True, text=True, check=False, timeout=100, stdin=subprocess.DEVNULL
        )

    with serving(arm, authority.cert, port=443, name="management.azure.com") as server:
        yield SimpleNamespace(run=run, arm=arm, server=server, home=tmp_path, bin=tmp_path / "bin", env=env)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.vhd"
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        file.seek(1024 + 56)
        file.write(EXT4)
        file.seek(MIB)
        file.write(b"data" * 1000)
        file.seek(24 * MIB)
        file.write(vhd.build(24 * MIB))
    return path


@pytest.fixture
def blob(user: SimpleNamespace, tmp_path: Path) -> Iterator[Blob]:
    with serving_blob(FileStore(tmp_path / "blob", 24 * MIB + 512)) as blob:
        user.arm.on_disk = lambda identity, body: blob.grant()
        yield blob
    assert blob.refused == []


def publish(disk: Path, *more: str) -> tuple[str, ...]:
    return ("publish", str(disk), "-n", "web", "-g", "rg", "-l", "westeurope", "--hyper-v-generation", "V2", *more)


LOUD = ("--debug", "--log-file")
MARK = "Zq7-Marked.Word"


def told(user: SimpleNamespace, *runs: subprocess.CompletedProcess[str]) -> str:
    """All that runs have said, and what lies in the user's home now."""
    files = (path.read_text(errors="replace") for path in user.home.rglob("*") if path.is_file())
    return "".join([*(run.stdout + run.stderr for run in runs), *files])


@pytest.mark.long
def test_publish_then_verify(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    log = user.home / "log"
    done = user.run(*publish(disk), *LOUD, str(log), AZURE_CLIENT_SECRET=MARK)
    assert done.returncode == 0, done.stderr
    assert "INFO ✓ upload" in log.read_text()
    assert not [word for word in (MARK, "sig=SECRET", "eyJ", "Bearer") if word in told(user, done)]
    image = done.stdout.splitlines()[0]
    assert image.endswith("/images/web")
    assert "Using the service principal in AZURE_CLIENT_ID" in done.stderr
    assert not list((user.home / "state").rglob("*.json")), "nothing is left to go on with"
    checked = user.run("verify", image, "-l", "westeurope", "--yes", "--output", "json")
    assert checked.returncode == 0, checked.stderr
    assert conforms("verify", checked.stdout)["allReady"] is True
    assert "the price is not known" in checked.stderr
    assert kinds(user.arm) == ["images", "resourceGroups"]


@pytest.mark.long
def test_verify_wants_a_yes_and_makes_nothing_without(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    image = user.run(*publish(disk)).stdout.splitlines()[0]
    before = len(user.server.exchanges)
    done = user.run("verify", image, "-l", "westeurope")
    assert (done.returncode, "say --yes" in done.stderr) == (2, True)
    assert not [item for item in user.server.exchanges[before:] if item.method != "GET" and "oauth2" not in item.url]


@pytest.mark.long
def test_an_upload_that_breaks_is_continued_by_the_same_command(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    user.server.faults.append(Fault("POST", "endGetAccess", 403, "AuthorizationFailed", "no right to endGetAccess"))
    proxy = f"http://me:{MARK}@127.0.0.1:1"
    shut = user.run(*publish(disk), *LOUD, str(user.home / "log"), HTTPS_PROXY=proxy)
    assert (shut.returncode, "Unable to connect to proxy" in shut.stderr) == (3, True)
    broken = user.run(*publish(disk), *LOUD, str(user.home / "log"))
    assert broken.returncode == 3
    assert not [word for word in (MARK, "sig=SECRET", "eyJ") if word in told(user, broken, shut)]
    assert "AuthorizationFailed, this login lacks a right" in broken.stderr
    assert "az disk delete --yes --ids" in broken.stderr and "request id" in broken.stderr
    again = user.run(*publish(disk))
    assert again.returncode == 0, again.stderr
    assert "Going on with run" in again.stderr and "upload disk.vhd (done before)" in again.stderr


@pytest.mark.long
def test_other_options_do_not_go_on_with_an_unfinished_run(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    user.server.faults.append(Fault("POST", "endGetAccess", 403, "AuthorizationFailed"))
    user.run(*publish(disk))
    other = user.run(*publish(disk, "--gallery-name", "gal"))
    assert other.returncode == 2
    assert "gallery was ''" in other.stderr and "--restart" in other.stderr


@pytest.mark.long
def test_what_a_forgotten_run_left_is_no_part_of_the_result(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    user.server.faults.append(Fault("POST", "endGetAccess", 403, "AuthorizationFailed"))
    user.run(*publish(disk))
    user.arm.resources.clear()
    done = user.run(*publish(disk, "--restart", "--output", "json"))
    assert conforms("publish", done.stdout)["image"].endswith("/images/web")
    assert "The forgotten run left behind" in done.stderr


@pytest.mark.long
def test_a_dry_run_needs_no_login_and_sends_nothing(user: SimpleNamespace, disk: Path) -> None:
    nobody = dict.fromkeys(LOGIN, "")
    for words in (
        publish(disk, "--dry-run", "--gallery-name", "gal", "--target-regions", "eastus=2"),
        ("capture", "-n", "web", "-g", "rg", "-l", "westeurope", "--dry-run"),
        ("verify", IMAGE, "-l", "westeurope", "--instances", "50", "--dry-run"),
    ):
        done = user.run(*words, **nobody)
        assert done.returncode == 0, done.stderr
        assert "PUT https://management.azure.com/subscriptions/<subscription>/" in done.stdout
        assert "# az " in done.stdout and done.stdout.rstrip().endswith("Nothing was sent.")
        rows = conforms("plan", user.run(*words, "--output", "json", **nobody).stdout)["steps"]
        assert any(row.get("method") == "PUT" and row["az"] for row in rows)
    assert user.server.exchanges == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "code", "said", "todo"),
    [
        ({"AZURE_CLIENT_SECRET": ""}, 3, "no Azure login was found", "az login"),
        ({"AZURE_CLIENT_SECRET": "wrong"}, 3, "the login failed", "az login"),
        ({"AZURE_SUBSCRIPTION_ID": ""}, 2, "no subscription was given", "--subscription"),
        (
            {"AZURE_SUBSCRIPTION_ID": "Nowhere"},
            3,
            "no subscription of this login is called 'Nowhere'",
            "az account list",
        ),
        (
            {"AZURE_SUBSCRIPTION_ID": "99999999-2222-4333-8444-555555555555"},
            3,
            "no such subscription",
            "--subscription",
        ),
    ],
)
def test_logins_and_subscriptions_that_do_not_work(
    user: SimpleNamespace, disk: Path, changes: dict[str, str], code: int, said: str, todo: str
) -> None:
    # Only what this test brings is on the PATH: an az of the machine's must not be asked.
    done = user.run(*publish(disk), PATH=f"{user.bin}:/usr/bin:/bin", **changes)
    assert (done.returncode, said in done.stderr, todo in done.stderr) == (code, True, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_the_subscription_may_be_named(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    assert user.run(*publish(disk, "--subscription", "Testing")).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cloud", "Moon"), "'Moon' is not a cloud"),
        (("--auth", "magic"), "'magic' is not a way to log in"),
        (("--gallery-name", "my-gallery"), "cannot be the name of a gallery"),
        (("--target-regions", "eastus=many", "--gallery-name", "gal"), "is not a target region"),
        (("--target-regions", "eastus"), "a managed image lives in one region"),
        (("--tags", "novalue"), "'novalue' is not a tag"),
        (("--output", "yaml"), "there is no form yaml"),
        (("--architecture", "vax"), "--architecture is 'vax'"),
        (("--gallery-name", "gal", "--gallery-image-version", "1"), "'1' is not an image version"),
    ],
)
def test_wrong_options_are_told_before_anything_is_asked(
    user: SimpleNamespace, disk: Path, words: tuple[str, ...], said: str
) -> None:
    done = user.run(*publish(disk, *words))
    assert (done.returncode, said in done.stderr, "what to do" in done.stderr) == (2, True, True), done.stderr
    assert user.server.exchanges == []


@pytest.mark.long
def test_a_disk_that_is_no_fixed_vhd_is_refused_with_the_command_that_fixes_it(
    user: SimpleNamespace, disk: Path
) -> None:
    raw = disk.with_name("disk.raw")
    raw.write_bytes(disk.read_bytes()[:-512])
    done = user.run(*publish(raw))
    assert done.returncode == 2
    assert "it is not a fixed VHD" in done.stderr and "azready convert disk.raw OUT.vhd" in done.stderr


@pytest.mark.long
def test_a_run_that_made_nothing_leaves_nothing_here_either(user: SimpleNamespace) -> None:
    done = user.run("capture", "-n", "web", "-g", "rg", "-l", "mars", "--ssh-from", "203.0.113.7")
    assert done.returncode == 3, done.stderr
    assert "there is no region 'mars'" in done.stderr and "left behind" not in done.stderr
    image = IMAGE.replace("images/x", "images/absent")
    assert user.run("verify", image, "-l", "westeurope", "--yes").returncode == 3
    assert not [path for path in (user.home / "state").rglob("*") if path.is_file() and path.suffix != ".hosts"]


@pytest.mark.long
def test_ctrl_c_lists_what_exists(user: SimpleNamespace) -> None:
    user.arm.takes = 60
    argv = [sys.executable, "-m", "azready", "capture", "-n", "web", "-g", "rg", "-l", "westeurope"]
    inside = real_az.in_namespace([*argv, "--ssh-from", "203.0.113.7"], user.home / "hosts")
    process = subprocess.Popen(inside, env=user.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(
        "networkSecurityGroups" in path for _, path in user.server.sent("PUT")
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "the same command goes on where it stopped" in said and "az network nsg delete --ids" in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--security-type", "ConfidentialVM"), 2, "--security-type is 'ConfidentialVM'"),
        (("--security-type", "TrustedLaunchSupported"), 2, "TrustedLaunchSupported is of a gallery definition"),
        (
            ("--security-type", "TrustedLaunch", "--vm", "mine", "--gallery-name", "gal"),
            2,
            "a VM that exists is what it is",
        ),
        (("--seal-original",), 2, "are of a VM of yours"),
        (("--specialized", "--vm", "mine"), 2, "a specialized image is made of a VM of yours, in a gallery"),
        (("--disk-controller-types", "NVMe"), 2, "is of a gallery definition"),
        (("--disk-controller-types", "IDE", "--gallery-name", "gal"), 2, "--disk-controller-types is 'IDE'"),
        (("--no-public-ip",), 2, "nobody reaches a VM in azready's own network"),
        (("--gallery-name", "/subscriptions/1/galleries/x"), 2, "is not a gallery"),
        (("--plan", "a:b"), 2, "'a:b' is not a purchase plan"),
        (("--skip", "K99"), 2, "there is no rule K99"),
    ],
)
def test_options_of_capture_that_cannot_be(user: SimpleNamespace, words: tuple[str, ...], code: int, said: str) -> None:
    done = user.run("capture", "-n", "web", "-g", "rg", "-l", "westeurope", *words, "--dry-run")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert user.server.exchanges == []


@pytest.mark.long
def test_a_role_is_printed_as_az_takes_it(user: SimpleNamespace, disk: Path) -> None:
    for words in (
        ("capture", "-n", "web", "-g", "rg", "-l", "westeurope", "--print-role"),
        publish(disk, "--print-role"),
        ("verify", IMAGE, "-l", "westeurope", "--print-role"),
    ):
        done = user.run(*words)
        assert done.returncode == 0, done.stderr
        role = json.loads(done.stdout)
        assert role["IsCustom"] and role["AssignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"]
        assert ("Microsoft.Compute/skus/read" in role["Actions"]) == (words[0] != "publish"), "which makes no VM"
        assert "az role definition create --role-definition" in done.stderr
    assert user.server.exchanges == []


@pytest.mark.long
def test_another_definition_is_not_made_in_silence(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    user.server.faults.append(Fault("PUT", "/versions/", 400, "InvalidParameter", "something new"))
    first = user.run(*publish(disk, "--gallery-name", "gal", "--security-type", "TrustedLaunch"))
    assert first.returncode == 3, first.stderr
    second = user.run(*publish(disk, "--gallery-name", "gal"))
    assert (second.returncode, "security type was 'TrustedLaunchSupported'" in second.stderr) == (2, True), (
        second.stderr
    )
    keys = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/diskEncryptionSets/keys"
    third = user.run(
        *publish(disk, "--gallery-name", "gal", "--security-type", "TrustedLaunch"), "--disk-encryption-set", keys
    )
    assert (third.returncode, "encryption set was ''" in third.stderr) == (2, True), third.stderr
    again = user.run(*publish(disk, "--gallery-name", "gal", "--security-type", "TrustedLaunch"))
    assert again.returncode == 0, again.stderr
    assert kinds(user.arm) == ["galleries", "galleries/images", "galleries/images/versions", "resourceGroups"]


@pytest.mark.long
def test_a_verification_without_room_and_with_a_lock_ends_with_three(
    user: SimpleNamespace, disk: Path, blob: Blob
) -> None:
    image = user.run(*publish(disk)).stdout.splitlines()[0]
    user.arm.capacity = 2
    done = user.run("verify", image, "-l", "westeurope", "--yes", "--instances", "3", "--output", "json")
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["outcome"], told["asked"], len(told["instances"]), told["allReady"]) == ("untried", 3, 2, False)
    assert all(item["diagnosis"] is None for item in told["instances"]), "nothing is wrong with these guests"
    user.arm.capacity = None
    user.server.faults.append(Fault("DELETE", "/resourcegroups/azready-verify", 409, "ScopeLocked", "locked", times=9))
    done = user.run("verify", image, "-l", "westeurope", "--yes")
    assert (done.returncode, "1 of 1 Ready" in done.stdout) == (3, True), done.stdout + done.stderr
    assert "ScopeLocked" in done.stderr and "az group delete -n azready-verify" in done.stderr


@pytest.mark.long
def test_verify_says_why_a_guest_failed_as_diagnose_does(user: SimpleNamespace, disk: Path, blob: Blob) -> None:
    image = user.run(*publish(disk)).stdout.splitlines()[0]
    log = user.home / "console.log"
    log.write_bytes(NO_ROOT)
    by_itself = user.run("diagnose", str(log), "-o", "json")
    user.arm.boot = lambda vm: Guest(lambda: ("OSProvisioningTimedOut", ""), lambda: NO_ROOT)
    text = user.run("verify", image, "-l", "westeurope", "--yes")
    assert text.returncode == 1, text.stderr
    told = [line.strip() for line in text.stdout.splitlines()]
    for line in user.run("diagnose", str(log)).stdout.splitlines():
        assert line.strip() in told, text.stdout
    assert any(line.startswith("| ") and "Kernel panic - not syncing" in line for line in told)
    data = user.run("verify", image, "-l", "westeurope", "--yes", "-o", "json")
    failed = json.loads(data.stdout)["instances"][0]
    assert failed["diagnosis"] == json.loads(by_itself.stdout)
    assert failed["diagnosis"]["outcome"] == "cause" and "Kernel panic" in failed["console"]


@pytest.mark.long
def test_two_at_once_do_not_work_on_the_same_run(user: SimpleNamespace, disk: Path) -> None:
    state = user.home / "run.json"
    with alone(state):
        done = user.run(*publish(disk, "--state", str(state)))
    assert (done.returncode, "another azready works on" in done.stderr) == (3, True), done.stderr


FAKE_SSH = """#!/bin/sh
# An ssh that is let in nowhere.
echo "azureuser@192.0.2.4: Permission denied (publickey)." >&2
exit 255
"""


@pytest.mark.long
def test_ssh_that_is_refused_lists_what_exists_and_how_to_remove_it(
    user: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user.bin / "ssh").write_text(FAKE_SSH)
    (user.bin / "ssh").chmod(0o755)
    words = ("capture", "-n", "web", "-g", "rg", "-l", "westeurope", "--ssh-from", "203.0.113.7")
    done = user.run(*words, AZREADY_SSH_PATIENCE="0")
    assert done.returncode == 3
    assert "ssh to azureuser@192.0.2.4 does not work: azureuser@192.0.2.4: Permission denied" in done.stderr
    assert "--ssh-from" in done.stderr and "az vm delete --yes --ids" in done.stderr
    assert "az group delete -n rg" in done.stderr
    assert kinds(user.arm).count("virtualMachines") == 1
    key = next((user.home / "state").rglob("*.key"))
    assert key.stat().st_mode & 0o777 == 0o600


def test_help_loads_nothing_of_azure() -> None:
    code = (
        "import sys; sys.argv=['azready','--help']\n"
        "from azready.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "names = ('azure', 'msal', 'requests', 'cryptography')\n"
        "print([m for m in sys.modules if m.split('.')[0] in names or m.startswith('azready.azure')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.long
def test_without_the_extra_the_way_to_get_it_is_told(user: SimpleNamespace, disk: Path) -> None:
    """A sitecustomize that hides Azure's libraries, as if the extra were not installed."""
    hidden = user.home / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'azure': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = user.run(*publish(disk), PYTHONPATH=str(hidden))
    assert (done.returncode, "pip install 'azready[azure]'" in done.stderr) == (3, True), done.stderr
    assert user.run(*publish(disk, "--dry-run"), PYTHONPATH=str(hidden)).returncode == 0
