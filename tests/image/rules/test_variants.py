"""What all rules answer of images that lack something, or are of another kind: which have nothing to say, and why, and
what the others find. Of all but the first image only what differs from that is written down: a line that begins with
"no more" is one of its own. `variants.txt` is approved as `findings.txt` is (`--approve`)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.image.checking import Found, Passed, Skipped, Unseen, ask
from azready.image.facts import Facts
from azready.image.facts.disk import Disk
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.image.rules.cases import DISK, Change, alpine, arm, both, cloud_init, fedora, selinux, waagent_for
from tests.image.sample import KERNEL, good_image

APPROVED = Path(__file__).with_name("variants.txt")
KERNEL_FILES = (f"usr/lib/modules/{KERNEL}/modules.dep", f"boot/vmlinuz-{KERNEL}", f"boot/initrd.img-{KERNEL}")


def without(*paths: str) -> Change:
    return lambda s: s.remove(*paths)


VARIANTS: dict[str, tuple[Change, Disk | None]] = {
    "the good image": (lambda s: s, None),
    "a disk": (lambda s: s, DISK),
    "Alpine": (alpine, None),
    "Fedora": (both(fedora, selinux), None),
    "arm64": (arm, None),
    "without a kernel": (without(*KERNEL_FILES), None),
    "without an initramfs": (without(KERNEL_FILES[2]), None),
    "without a boot menu": (without("boot/grub/grub.cfg"), None),
    "without settings of GRUB": (without("etc/default/grub"), None),
    "without udev": (without("usr/lib/udev/rules.d/50-udev-default.rules"), None),
    "without an EFI program": (without("boot/efi/EFI/BOOT/BOOTX64.EFI"), None),
    "a disk without an EFI program": (without("boot/efi/EFI/BOOT/BOOTX64.EFI"), DISK),
    "with an empty machine id": (lambda s: s.write("etc/machine-id", ""), None),
    "without fstab": (without("etc/fstab"), None),
    "Alpine without fstab": (both(alpine, without("etc/fstab")), None),
    "without sshd": (without("usr/sbin/sshd", "usr/lib/systemd/system/ssh.service"), None),
    "with dropbear": (both(without("usr/sbin/sshd"), lambda s: s.write("usr/sbin/dropbear", "")), None),
    "without packages": (without("var/lib/dpkg/status"), None),
    "without shadow": (without("etc/shadow"), None),
    "with cloud-init": (cloud_init(), None),
    "with cloud-init, without a network": (cloud_init(without("etc/systemd/network/10-eth0.network")), None),
    "with waagent": (waagent_for("waagent"), None),
}


def _said(change: Change, disk: Disk | None, folder: Path) -> Iterator[str]:
    change(sample := good_image(folder))
    facts = Facts(Tree(sample.root), disk=disk)
    for rule in RULES:
        match ask(rule, facts):
            case Passed():
                continue
            case Found(findings):
                for each in findings:
                    grave = f" ({each.severity.word})" if each.severity else ""
                    yield f"{rule.id}: {each.where or '-'}: {each.what}{grave}"
            case Skipped(reason) | Unseen(reason):
                yield f"{rule.id} says nothing: {reason}"


def _differing(said: list[str], usual: list[str]) -> Iterator[str]:
    yield from (line for line in said if line not in usual)
    yield from (f"no more: {line}" for line in usual if line not in said)


def _sections() -> dict[str, str]:
    parts = APPROVED.read_text().split("\n# ") if APPROVED.exists() else []
    return {name: text.strip("\n") for part in parts[1:] for name, _, text in [part.partition("\n")]}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_all_rules_say_of_it(
    name: str, tmp_path: Path, pytestconfig: pytest.Config, need: Callable[..., None]
) -> None:
    need("root")  # whose files they are is seen
    usual = _sections().get("the good image", "").splitlines() if name != "the good image" else []
    said = "\n".join(_differing(list(_said(*VARIANTS[name], tmp_path)), usual))
    if pytestconfig.getoption("--approve"):  # one process at a time: `-n 0`
        texts = {**_sections(), name: said}
        blocks = [f"# {each}\n{texts[each]}\n" for each in VARIANTS if each in texts]
        APPROVED.write_text("What all rules say of the images of test_variants.py.\n\n" + "\n".join(blocks))
    assert said == _sections().get(name, "")


def test_each_variant_is_approved() -> None:
    assert list(_sections()) == list(VARIANTS)
