"""Sealing a tree: everything that was found goes, in a safe order, again and again with the same end."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure
from azready.image.actions import Remove, RemoveUser, Write
from azready.image.apply import ApplyFailed
from azready.image.checking import Found, ask
from azready.image.facts import Facts
from azready.image.facts.of_target import facts_of
from azready.image.rules import RULES
from azready.image.rules.model import Stage
from azready.image.sealing import (
    Options,
    Sealed,
    carry_out,
    plan,
)
from azready.image.targets.tree import Tree
from tests import cuts
from tests.image.sample import Sample, good_image

SECRETS = ("hunter2", "AAAAC3Nza", "$6$salt", "PRIVATE KEY")
ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _as_root(need: Callable[..., None]) -> None:
    """Files of an image belong to root: an ordinary user seals in a user namespace, which only the command enters."""
    need("root")


def used_machine(root: Path) -> Sample:
    """The good image, after somebody has worked on it for a week."""
    s = good_image(root)
    s.append("etc/passwd", "bob:x:1000:1000::/home/bob:/bin/bash\n").append("etc/shadow", "bob:$6$salt$x:1::::::\n")
    s.append("etc/group", "bob:x:1000:\n").edit("etc/group", "sudo:x:27:", "sudo:x:27:bob").write(
        "etc/shadow-", "$6$salt$y"
    )
    s.write("home/bob/.ssh/authorized_keys", "ssh-ed25519 AAAAC3Nza bob\n").write("home/bob/.bash_history", "hunter2\n")
    s.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3Nza root\n").write(
        "root/.bash_history", "mysql -phunter2\n"
    )
    for name in ("90-azure-provisioning", "zz-90-azure-provisioning", "zzz-90-azure-provisioning"):
        s.write(f"etc/sudoers.d/{name}", "bob ALL=(ALL) NOPASSWD:ALL\n", 0o440)
    s.write("etc/sudoers.d/mine", "bob ALL=(ALL) ALL\n%wheel ALL=(ALL) ALL\n", 0o440)
    s.write("etc/ssh/ssh_host_ed25519_key", "PRIVATE KEY").write("etc/hostname", "builder\n")
    s.write("etc/machine-id", f"{ID}\n").write("var/lib/dbus/machine-id", f"{ID}\n")
    s.write(f"var/log/journal/{ID}/system.journal", "hunter2").write("var/log/auth.log", "bob\n", 0o640)
    s.write("var/log/syslog.1", "x").write("var/lib/systemd/random-seed", "x" * 32)
    s.write("var/lib/dhcp/dhclient.eth0.leases", "lease {}").write("var/lib/systemd/credential.secret", "hunter2")
    s.write("var/lib/azure-provisioning/applied", "id").write("var/lib/azure-provisioning/ovf-env.xml", "hunter2")
    s.write("etc/krb5.keytab", "x").write("tmp/x", "").write("var/lib/hyperv/.kvp_pool_1", "x" * 2560)
    s.write("var/lib/cloud/instance/user-data.txt", "hunter2").write("var/spool/cron/crontabs/bob", "* * * * * x\n")
    return s.disable("azure-provisioning")


def seal(sample: Sample, *users: str) -> Sealed:
    with Tree(sample.root) as tree:
        return carry_out(tree, lambda: facts_of(tree), Options(users))


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and link below a folder: mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = (0, os.fsencode(path.readlink()))
        elif path.is_file():
            found[str(path.relative_to(root))] = (path.stat().st_mode, path.read_bytes())
    return found


@pytest.mark.long
def test_a_used_machine_is_sealed_and_nothing_is_found_any_more(tmp_path: Path) -> None:
    sample = used_machine(tmp_path)
    sealed = seal(sample, "bob")
    assert sealed.left == ()
    facts = Facts(Tree(tmp_path))
    assert not [rule.id for rule in RULES if rule.seals and isinstance(ask(rule, facts), Found)]
    left = everything(tmp_path)
    assert not [(path, secret) for path, (_, data) in left.items() for secret in SECRETS if secret.encode() in data]
    assert not any(path.startswith("home/bob") for path in left)


@pytest.mark.long
def test_a_run_that_was_cut_off_anywhere_is_completed_by_running_it_again(tmp_path: Path) -> None:
    """Killed before changes drawn by a seed, within an action too: the end is always the same."""
    whole = used_machine(tmp_path / "whole")
    for place in cuts.points(lambda: seal(whole, "bob"), 10):
        sample = used_machine(tmp_path / str(place))
        assert cuts.cut_before(place, lambda sample=sample: seal(sample, "bob")) == 0  # type: ignore[misc]
        assert seal(sample, "bob").left == ()
        assert everything(sample.root) == everything(whole.root), f"after a cut before change {place}"


@pytest.mark.long
def test_the_guest_program_is_armed_again(tmp_path: Path) -> None:
    seal(used_machine(tmp_path), "bob")
    link = tmp_path / "etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
    assert str(link.readlink()) == "/usr/lib/systemd/system/azure-provisioning.service"
    assert list((tmp_path / "var/lib/azure-provisioning").iterdir()) == []


@pytest.mark.long
def test_presets_keep_the_guest_program_although_it_has_disabled_itself(tmp_path: Path) -> None:
    """On Fedora and the like, where a first boot disables what no preset names."""
    sample = used_machine(tmp_path).write("etc/os-release", "ID=fedora\n")
    sample.write("usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n")
    seal(sample, "bob")
    units = Facts(Tree(tmp_path)).units
    for name in ("azure-provisioning", "azure-provisioning-hostkeys", "ssh", "systemd-networkd"):
        preset = units.preset(f"{name}.service")
        assert preset is not None and preset.enable, name


@pytest.mark.long
def test_what_belongs_to_the_system_stays(tmp_path: Path) -> None:
    before = everything(good_image(tmp_path / "good").root)
    seal(used_machine(tmp_path / "used"), "bob")
    after = everything(tmp_path / "used")
    new = {path for path in after if path not in before}
    assert new == {"etc/sudoers.d/mine", "var/log/auth.log"}
    changed = {path for path in before if after.get(path) != before[path]}
    assert changed <= {"etc/group", "etc/shadow", "etc/machine-id"}
    assert after["etc/sudoers.d/mine"][1] == b"%wheel ALL=(ALL) ALL\n"
    assert after["var/log/auth.log"] == (0o100640, b"")
    assert after["etc/machine-id"][1] == b"uninitialized\n"


@pytest.mark.long
def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    sample = used_machine(tmp_path)
    seal(sample, "bob")
    before = everything(tmp_path)
    again = seal(sample, "bob")
    assert not any(outcome.changed for outcome in again.outcomes)
    assert everything(tmp_path) == before


def test_the_order_keeps_a_session_alive(tmp_path: Path) -> None:
    used_machine(tmp_path)
    steps = plan(Facts(Tree(tmp_path)), Options(("bob",))).steps
    stages = [step.stage for step in steps]
    assert stages == sorted(stages)
    actions = [action for step in steps for action in step.actions]
    user = next(number for number, action in enumerate(actions) if isinstance(action, RemoveUser))
    assert all(step.stage >= Stage.USERS for step in steps if step.title.startswith("--user"))
    machine_id = next(n for n, a in enumerate(actions) if isinstance(a, Write) and a.path == "etc/machine-id")
    keys = next(n for n, a in enumerate(actions) if isinstance(a, Remove) and "ssh_host" in a.path)
    assert keys < user < machine_id


def test_secrets_are_in_no_description(tmp_path: Path) -> None:
    used_machine(tmp_path)
    sealing = plan(Facts(Tree(tmp_path)), Options(("bob",)))
    said = repr(sealing) + "".join(action.describe() for action in sealing.actions)
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.long
def test_a_user_that_stays_is_named_and_has_no_way_in(tmp_path: Path) -> None:
    sample = used_machine(tmp_path)
    notes = plan(Facts(Tree(tmp_path)), Options()).notes
    assert any("bob stays" in note for note in notes)
    assert seal(sample).left == ()
    assert not (tmp_path / "home/bob/.ssh/authorized_keys").exists()
    assert "bob:!*:" in (tmp_path / "etc/shadow").read_text()


@pytest.mark.parametrize("name", ["root", "sshd"])
def test_system_accounts_are_not_removed(name: str, tmp_path: Path) -> None:
    used_machine(tmp_path)
    with pytest.raises(Failure, match="not an ordinary user"):
        plan(Facts(Tree(tmp_path)), Options((name,)))


def test_a_user_that_is_gone_is_said_and_no_failure(tmp_path: Path) -> None:
    used_machine(tmp_path)
    assert "there is no user alice (any more)" in plan(Facts(Tree(tmp_path)), Options(("alice",))).notes


def test_an_image_that_nothing_provisions_is_not_sealed(tmp_path: Path) -> None:
    sample = used_machine(tmp_path)
    (tmp_path / "usr/lib/azure-provisioning").rename(tmp_path / "gone")
    before = everything(tmp_path)
    with pytest.raises(Failure, match="nothing in this image will provision") as caught:
        seal(sample)
    assert "azready prepare" in caught.value.hint
    assert everything(tmp_path) == before


@pytest.mark.long
def test_an_image_whose_sshd_would_not_start_is_not_sealed(tmp_path: Path) -> None:
    sample = used_machine(tmp_path).disable("azure-provisioning-hostkeys")
    with pytest.raises(Failure, match="host keys"):
        seal(sample)
    with Tree(tmp_path) as tree:
        carry_out(tree, lambda: facts_of(tree), Options(skip=frozenset({"S02"})))
    assert (tmp_path / "etc/ssh/ssh_host_ed25519_key").exists()


def test_what_cannot_be_seen_stops_it_before_anything_is_changed(tmp_path: Path) -> None:
    sample = used_machine(tmp_path).write("var/lib/rpm/rpmdb.sqlite", b"broken").remove("var/lib/dpkg/status")
    before = everything(tmp_path)
    with pytest.raises(Failure, match=r"could not look.*rpmdb"):
        seal(sample)
    assert everything(tmp_path) == before


def test_a_failing_action_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = used_machine(tmp_path)

    def full(self: Tree, *args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tree, "write_atomic", full)
    with pytest.raises(ApplyFailed, match="No space left") as caught:
        seal(sample)
    assert "make room" in caught.value.hint


@pytest.mark.long
def test_fix_also_fixes_settings(tmp_path: Path) -> None:
    sample = good_image(tmp_path).write("etc/modprobe.d/cis.conf", "install udf /bin/true\n")
    seal(sample)
    assert "#install" not in (tmp_path / "etc/modprobe.d/cis.conf").read_text()
    with Tree(tmp_path) as tree:
        carry_out(tree, lambda: facts_of(tree), Options(fix=True))
    assert (tmp_path / "etc/modprobe.d/cis.conf").read_text() == "#install udf /bin/true\n"


@pytest.mark.long
def test_a_link_in_the_image_leads_nowhere_outside(tmp_path: Path) -> None:
    """A hostile image: homes and logs that are links to the host's folders."""
    outside = Sample(tmp_path / "outside").write("authorized_keys", "ssh-ed25519 AAAA host\n").write("syslog", "x").root
    sample = used_machine(tmp_path / "image")
    for name in ("authorized_keys",):
        (sample.root / "root/.ssh" / name).unlink()
    (sample.root / "root/.ssh").rmdir()
    sample.link("root/.ssh", str(outside)).link("var/log/syslog", str(outside / "syslog"))
    seal(sample, "bob")
    assert everything(outside).keys() == {"authorized_keys", "syslog"}
    assert (outside / "syslog").read_text() == "x"
