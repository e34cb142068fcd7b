"""Changing the kernel's command line: in the menu and in its source, on every kind of boot loader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from azready.image.apply import apply
from azready.image.facts import Facts
from azready.image.facts.cmdline import shown
from azready.image.rules import cmdline_repairs
from azready.image.rules.boot import serial_console
from azready.image.targets.tree import Tree
from tests.image.sample import KERNEL, UUID, Sample, good_image

ENTRY = f"title x\nlinux /vmlinuz-{KERNEL}\ninitrd /initrd\noptions root=UUID={UUID} ro quiet\n"
EXTLINUX = f"LABEL a\n  LINUX vmlinuz-virt\n  APPEND root=UUID={UUID} quiet\n"


@pytest.fixture(autouse=True)
def _as_root(need: Callable[..., None]) -> None:
    need("root")  # files of an image belong to root


def _changed(sample: Sample, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> Facts:
    with Tree(sample.root) as tree:
        facts = Facts(tree)
        apply([*cmdline_repairs.add(facts, add)] if add else [*cmdline_repairs.drop(facts, drop)], tree)
    return Facts(Tree(sample.root))


@pytest.mark.parametrize(
    ("path", "text", "source", "before", "added", "dropped"),
    [
        ("boot/loader/entries/a.conf", ENTRY, "etc/kernel/cmdline", "ro quiet\n", "ro quiet x=1\n", "ro\n"),
        (
            "boot/loader/entries/a.conf", ENTRY,
            "etc/default/grub", 'A=1\nGRUB_CMDLINE_LINUX="a quiet"\n', 'A=1\nGRUB_CMDLINE_LINUX="a quiet x=1"\n',
            'A=1\nGRUB_CMDLINE_LINUX="a"\n',
        ),
        (
            "boot/extlinux.conf", EXTLINUX,
            "etc/update-extlinux.conf", "default_kernel_opts=quiet\n", "default_kernel_opts=quiet x=1\n",
            "default_kernel_opts=\n",
        ),
    ],
)  # fmt: skip
def test_the_menu_and_its_source_are_edited(
    path: str, text: str, source: str, before: str, added: str, dropped: str, tmp_path: Path
) -> None:
    os_release = "ID=fedora\n"
    sample = Sample(tmp_path / "add").write("etc/os-release", os_release).write(path, text).write(source, before)
    (entry,) = _changed(sample, add=("x=1",)).boot_entries
    assert entry.args[-1] == "x=1" and entry.has("quiet")
    assert (sample.root / source).read_text() == added
    assert KERNEL not in text or f"linux /vmlinuz-{KERNEL}\n" in (sample.root / path).read_text()
    sample = Sample(tmp_path / "drop").write("etc/os-release", os_release).write(path, text).write(source, before)
    (entry,) = _changed(sample, drop=("quiet",)).boot_entries
    assert not entry.has("quiet") and entry.values("root") == [f"UUID={UUID}"]
    assert (sample.root / source).read_text() == dropped


def test_debian_gets_a_drop_in_and_the_menu_at_once(tmp_path: Path) -> None:
    sample = good_image(tmp_path)
    facts = _changed(sample, add=("x=1",))
    assert facts.boot_entries[0].args[-1] == "x=1"
    text = (tmp_path / "etc/default/grub.d/50-azure.cfg").read_text()
    assert text == 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x=1"\n'
    _changed(sample, add=("x=1",))
    assert (tmp_path / "etc/default/grub.d/50-azure.cfg").read_text() == text


def test_a_rescue_entry_is_left_alone(tmp_path: Path) -> None:
    sample = good_image(tmp_path).append(
        "boot/grub/grub.cfg", f"\tlinux /boot/vmlinuz-{KERNEL} root=UUID={UUID} single\n"
    )
    _changed(sample, add=("x=1",))
    assert (tmp_path / "boot/grub/grub.cfg").read_text().splitlines()[-1].endswith(" single")


def test_no_report_shows_the_password_of_an_address() -> None:
    assert shown("ds=nocloud;s=http://me:secret@host/x") == "ds=nocloud;s=http://…@host/x"
    assert shown("root=cifs://me:secret@host/share") == "root=cifs://…@host/share"
    assert shown("inst.ks=https://host/a@b") == "inst.ks=https://host/a@b"


@pytest.mark.parametrize("port", ["console=ttyS0,115200n8", "console=ttyS0,9600", "console=ttyS0"])
def test_a_serial_console_that_is_not_the_last_is_moved_by_one_step(port: str, tmp_path: Path) -> None:
    """A fix that is cut off between leaves no image without it."""
    sample = good_image(tmp_path).edit(
        "boot/grub/grub.cfg", "console=tty1 console=ttyS0,115200n8", f"{port} console=tty0"
    )
    sample.write("etc/default/grub", f'GRUB_CMDLINE_LINUX="quiet {port} console=tty0"\n')
    facts = Facts(Tree(tmp_path))
    assert serial_console.repair is not None
    with Tree(tmp_path) as tree:
        apply(list(serial_console.repair(facts, list(serial_console.find(facts)))), tree)
    (entry,) = Facts(Tree(tmp_path)).boot_entries
    assert entry.values("console") == ["tty0", "ttyS0,115200n8"]
    assert (tmp_path / "etc/default/grub").read_text() == 'GRUB_CMDLINE_LINUX="quiet console=tty0"\n'
    drop_in = (tmp_path / "etc/default/grub.d/50-azure.cfg").read_text()
    assert drop_in == 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX console=ttyS0,115200n8"\n'
