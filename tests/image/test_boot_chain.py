"""The boot chain is read as the boot loaders go through it: held to rpm, systemd, GRUB, Debian's shim."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.image.checking import Found, Passed, ask
from azready.image.disk.formats.superblocks import Superblock, probe
from azready.image.facts import Facts
from azready.image.facts.disk import gather_disk, plain_name
from azready.image.facts.grub import read_menu
from azready.image.facts.grub_features import refused
from azready.image.facts.versions import compare_names, compare_rpm, compare_uapi
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from azready.proc import find_tool, run
from tests.image.rules.cases import DISK
from tests.image.sample import KERNEL, MODULES, UUID, Sample, good_image, initramfs, pe

PARTS = ("1", "2", "10", "0", "07", "a", "b", "rc", "A", ".", "~", "^", "_", "el9", "-")


def _pairs(seed: int, count: int, without: str = "") -> list[tuple[str, str]]:
    chosen = random.Random(seed)
    parts = [part for part in PARTS if part not in without]
    texts = ["".join(chosen.choice(parts) for _ in range(chosen.randrange(1, 7))) for _ in range(2 * count)]
    near = [(text, text + chosen.choice(parts)) for text in texts[: count // 3]]
    return [*zip(texts[:count], texts[count:], strict=True), *near]


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def test_versions_are_compared_as_rpm_does(need: Callable[..., None]) -> None:
    need("tool:rpm")
    pairs = _pairs(1, 300, without="-")
    script = "".join(f'print(rpm.vercmp("{one}","{other}")," ");' for one, other in pairs)
    real = run(["rpm", "--eval", f"%{{lua:{script}}}"]).stdout.split()
    assert [_sign(compare_rpm(*pair)) for pair in pairs] == [int(word) for word in real]


@pytest.mark.long
def test_versions_are_compared_as_systemd_does(need: Callable[..., None]) -> None:
    need("tool:systemd-analyze")
    for one, other in [*_pairs(2, 40), ("2b--", "2b--.1.."), ("^", "^.a"), ("6.9.12", "6.10.3")]:
        if not one.startswith("-") and not other.startswith("-"):
            status = run(["systemd-analyze", "compare-versions", one, other], check=False).status
            assert _sign(compare_uapi(one, other)) == {0: 0, 11: 1, 12: -1}[status], (one, other)


def test_names_are_compared_part_by_part() -> None:
    """A release does not run into a version that is shorter."""
    assert compare_names("id-6.9-200.fc40", "id-6.9.12-100.fc40") < 0 < compare_names("id-6.10-1", "id-6.9-9")


# --- which entry starts ---


def _fedora(root: Path, *versions: str, menu: str = 'set default="${saved_entry}"\nblscfg\n', env: str = "") -> Facts:
    sample = good_image(root).remove("boot/grub/grub.cfg").write("boot/grub2/grub.cfg", menu)
    sample.write("boot/grub2/grubenv", f"# GRUB Environment Block\n{env}\n")
    for version in versions:
        _entry(sample, f"boot/loader/entries/id-{version}.conf", version)
    return Facts(Tree(root))


def _entry(sample: Sample, path: str, version: str, more: str = "") -> None:
    sample.write(f"usr/lib/modules/{version}/modules.dep", "".join(f"kernel/{each}.ko:\n" for each in MODULES))
    sample.write(f"boot/vmlinuz-{version}", b"k").write(f"boot/initramfs-{version}.img", initramfs())
    text = f"title Fedora ({version})\nversion {version}\nlinux /vmlinuz-{version}\ninitrd /initramfs-{version}.img\n"
    sample.write(path, f"{text}options root=UUID={UUID} console=ttyS0\n{more}")


OLD, NEW = "6.9.12-200.fc40.x86_64", "6.10.3-200.fc40.x86_64"


@pytest.mark.parametrize(
    ("menu", "env", "starts"),
    [
        ("blscfg\n", "", NEW),
        ('set default="${saved_entry}"\nblscfg\n', f"saved_entry=id-{OLD}", OLD),
        ('set default="${saved_entry}"\nblscfg\n', "saved_entry=1", OLD),
        ('set default="${saved_entry}"\nblscfg\n', f"saved_entry=Fedora ({OLD})", OLD),
        ('set default="${saved_entry}"\nblscfg\n', "saved_entry=id-gone", NEW),
        (
            'if [ "$next_entry" ]; then\nset default="$next_entry"\nelse\nset default="$saved_entry"\nfi\nblscfg\n',
            f"saved_entry=id-{NEW}\nnext_entry=id-{OLD}",
            OLD,
        ),
        ("menuentry 'first' {\n chainloader +1\n}\nset default=2\nblscfg\n", "", OLD),
    ],
)
def test_grub_starts_the_entry_that_is_saved_else_the_newest(menu: str, env: str, starts: str, tmp_path: Path) -> None:
    facts = _fedora(tmp_path, OLD, NEW, menu=menu, env=env)
    assert facts.boot_entries[0].version == starts
    assert [kernel.version for kernel in facts.kernels if kernel.default] == [starts]
    assert facts.boot_entries[0].initramfs == f"boot/initramfs-{starts}.img" and not facts.boot_entries[0].missing


SYSTEMD_BOOT = pe(sections={".sdmagic": b"#### LoaderInfo: systemd-boot 252 ####"})


@pytest.mark.parametrize(
    ("conf", "keys", "starts"),
    [
        ("", ("", ""), NEW),
        ("default id-6.9*\n", ("", ""), OLD),
        (f"default id-{OLD}.conf\n", ("", ""), OLD),
        ("timeout 3\n", ("fedora", ""), OLD),  # entries with a sort-key come first
        ("", ("fedora", "fedora"), NEW),
        ("", ("a", "b"), OLD),
    ],
)
def test_systemd_boot_starts_its_default_else_the_newest(
    conf: str, keys: tuple[str, str], starts: str, tmp_path: Path
) -> None:
    sample = good_image(tmp_path).write("boot/efi/EFI/BOOT/BOOTX64.EFI", SYSTEMD_BOOT)
    sample.write("boot/efi/loader/loader.conf", conf)
    for version, key in zip((OLD, NEW), keys, strict=True):
        _entry(sample, f"boot/efi/loader/entries/id-{version}.conf", version, f"sort-key {key}\n" if key else "")
    assert Facts(Tree(tmp_path)).boot_entries[0].version == starts


def test_an_entry_without_tries_left_comes_last(tmp_path: Path) -> None:
    sample = good_image(tmp_path).write("boot/efi/EFI/BOOT/BOOTX64.EFI", SYSTEMD_BOOT)
    _entry(sample, f"boot/efi/loader/entries/id-{NEW}+0-3.conf", NEW)
    _entry(sample, f"boot/efi/loader/entries/id-{OLD}+2.conf", OLD)
    assert Facts(Tree(tmp_path)).boot_entries[0].version == OLD


DEBIAN = """set default="{default}"
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-x' {{
\tif [ x$feature_platform_search_hint = xy ]; then
\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1  AAAA-1111
\tfi
\tlinux /boot/vmlinuz-6.1.0-35-amd64 root=UUID=x ro
\tinitrd /boot/initrd.img-6.1.0-35-amd64
}}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-x' {{
\tmenuentry 'Debian, with 6.1.0-35' --class debian $menuentry_id_option 'new' {{
\t\tlinux /boot/vmlinuz-6.1.0-35-amd64 root=UUID=x ro
\t}}
\tmenuentry 'Debian, with 6.1.0-9' --class debian $menuentry_id_option 'old' {{
\t\tlinux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=x ro
\t}}
}}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {{
\tfwsetup
}}
"""


@pytest.mark.parametrize(
    ("default", "kernel"),
    [
        ("0", "35"), ("1>1", "9"), ("gnulinux-advanced-x>old", "9"), ("Advanced options>Debian, with 6.1.0-9", "9"),
        ("1", "35"), ("nothing", "35"),
    ],
)  # fmt: skip
def test_a_default_leads_through_submenus(default: str, kernel: str) -> None:
    menu = read_menu(DEBIAN.format(default=default), "boot/grub/grub.cfg", {})
    chosen = menu.chosen(menu.items)
    assert chosen and chosen.kernel == f"/boot/vmlinuz-6.1.0-{kernel}-amd64"
    assert menu.items[0].searches[0].name == "AAAA-1111" and menu.items[2].kernel == ""


def test_the_menu_of_the_tests_is_one_to_grub(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:grub-script-check")
    path = tmp_path / "grub.cfg"
    path.write_text(DEBIAN.format(default="1>1"))
    run(["grub-script-check", path])


def test_extlinux_starts_its_default(tmp_path: Path) -> None:
    text = "DEFAULT menu.c32\nTIMEOUT 10\nLABEL lts\n  LINUX vmlinuz-lts\n  APPEND a\nLABEL virt\n  MENU DEFAULT\n"
    sample = good_image(tmp_path).remove("boot/grub/grub.cfg").write("boot/vmlinuz-virt", b"k")
    sample.write("boot/extlinux.conf", f"{text}  LINUX vmlinuz-virt\n  INITRD initramfs-virt\n  APPEND b\n")
    sample.write("boot/initramfs-virt", initramfs())
    first, second = Facts(Tree(tmp_path)).boot_entries
    assert (first.kernel, first.args, first.initramfs) == ("vmlinuz-virt", ("b",), "boot/initramfs-virt")
    assert (second.kernel, second.missing) == ("vmlinuz-lts", ("/vmlinuz-lts",))


def test_addons_add_to_a_unified_kernels_arguments(tmp_path: Path) -> None:
    sample = good_image(tmp_path).remove("boot/grub/grub.cfg")
    uki = "boot/efi/EFI/Linux/a.efi"
    sample.write(uki, pe(sections={".linux": b"k", ".cmdline": b"root=LABEL=x", ".uname": KERNEL.encode()}))
    sample.write(f"{uki}.extra.d/a.addon.efi", pe(sections={".cmdline": b"console=ttyS0\0"}))
    sample.write("boot/efi/loader/addons/b.addon.efi", pe(sections={".cmdline": b"quiet"}))
    (entry,) = Facts(Tree(tmp_path)).boot_entries
    assert entry.args == ("root=LABEL=x", "quiet", "console=ttyS0")


# --- what the firmware starts ---


def _grub(folder: Path) -> bytes:
    """GRUB's own program, as grub-install makes it."""
    config, program = folder / "load.cfg", folder / "grub.efi"
    config.write_text(f"search.fs_uuid {UUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\n")
    modules = ["search_fs_uuid", "ext2", "part_gpt", "normal", "configfile"]
    run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", config, "-o", program, *modules])
    return program.read_bytes()


def test_grubs_own_program_says_where_it_looks(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:grub-mkimage", "file:/usr/lib/grub/x86_64-efi/moddep.lst")
    sample = good_image(tmp_path / "tree").write("boot/efi/EFI/BOOT/BOOTX64.EFI", _grub(tmp_path))
    firmware = Facts(Tree(sample.root)).firmware
    assert firmware and firmware.loader and firmware.loader.role == "grub"
    assert [search.name for search in firmware.searches] == [UUID]


@pytest.mark.parametrize("feature", ["metadata_csum_seed", "orphan_file", "inline_data", "casefold"])
def test_what_grubs_driver_refuses_is_read_from_its_code(
    feature: str, tmp_path: Path, need: Callable[..., None]
) -> None:
    """GRUB itself is asked by grub-fstest, which reads the file system with the same driver."""
    need("tool:mke2fs", "tool:grub-mkimage", "tool:grub-fstest", "file:/usr/lib/grub/x86_64-efi/moddep.lst")
    image = tmp_path / "e.img"
    with image.open("wb") as file:
        file.truncate(20 << 20)
    run([find_tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-O", feature, image])
    data = image.read_bytes()
    block = probe(lambda position, length: data[position : position + length])
    assert block is not None
    reads = "lost+found" in run(["grub-fstest", image, "ls", "(loop0)/"], check=False).stdout
    assert (refused(_grub(tmp_path), block) == ()) == reads


def test_features_that_an_older_grub_refuses() -> None:
    """The constants of GRUB 2.06 as released: neither metadata_csum_seed nor nrext64 is in them."""
    old = b"..\xa9\x29\xfc\xfe\xff..\xa9\xff\xff\xff\xe0.."
    assert refused(old, Superblock("ext4", incompatible=0x22C2)) == ("metadata_csum_seed",)
    assert refused(old, Superblock("xfs", incompatible=0x2B)) == ("nrext64",)
    assert refused(old, Superblock("ext4", incompatible=0x2C6)) == refused(b"no GRUB", Superblock("xfs")) == ()


def test_the_constant_stands_in_an_and_as_well() -> None:
    """As in Debian 13's GRUB 2.12. AND with 0xffffff is common code, and no constant of the driver."""
    program = b"..\x81\xe2\x29\x9c\xfe\xff..\x25\xff\xff\xff\x00..\x81\xe0\xff\xff\xff\xc0.."
    assert refused(program, Superblock("ext4", incompatible=0x282C2)) == ("inline_data", "casefold")
    assert refused(program, Superblock("xfs", incompatible=0x6B)) == ("exchange",)


@pytest.mark.parametrize(("incompatible", "passes"), [(0x2C2, True), (0x22C2, False)])
def test_a_disk_that_its_own_grub_does_not_read_is_found(incompatible: int, passes: bool, tmp_path: Path) -> None:
    code = b"search.fs_uuid %s root hd0,gpt2\0..\xa9\x29\xfc\xfe\xff" % UUID.encode()
    program = pe(sections={".sbat": b"sbat,1\ngrub,5,x\n", ".mods": code})
    good_image(tmp_path).write("boot/efi/EFI/BOOT/BOOTX64.EFI", program)
    esp, root, *others = DISK.contents
    there = replace(root, superblock=Superblock("ext4", uuid=UUID, incompatible=incompatible))
    facts = Facts(Tree(tmp_path), disk=replace(DISK, contents=(esp, there, *others)))
    answer = ask(next(rule for rule in RULES if rule.id == "B18"), facts)
    if passes:
        assert answer == Passed()
    else:
        assert isinstance(answer, Found)
        assert [each.what for each in answer.findings] == [
            "GRUB does not read the ext4 it looks for: metadata_csum_seed"
        ]


# --- names of devices ---


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ('UUID="0A1B"', "uuid=0a1b"),
        ("/dev/disk/by-uuid/0A1B", "uuid=0a1b"),
        ("/dev/disk/by-label/my\\x20root", "label=my root"),
        ("/dev/disk/by-partlabel/EFI", "partlabel=efi"),
        ("PARTUUID=aa-01/PARTNROFF=1", "partuuid=aa-01"),
        ("/dev/root-vg/root", "/dev/mapper/root--vg-root"),
        ("/dev/mapper/root--vg-root", "/dev/mapper/root--vg-root"),
        ("/dev/sda1", ""),
        ("/dev/disk/by-path/pci-0-part1", ""),
        ("/dev/mapper/luks-1234", ""),
        ("tmpfs", ""),
    ],
)
def test_names_of_devices_have_one_spelling(device: str, name: str) -> None:
    assert plain_name(device) == name


def test_a_disks_names_are_blkids(tmp_path: Path, need: Callable[..., None]) -> None:
    need("tool:sfdisk", "tool:mke2fs", "tool:blkid")
    image = tmp_path / "d.raw"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    table = 'label: gpt\nstart=1MiB, size=8MiB, name=first\nstart=9MiB, name="my root"\n'
    run([find_tool("sfdisk", "fdisk"), "-q", image], stdin=table)
    make = [find_tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-L", "L-x", "-U", UUID]
    run([*make, "-E", f"offset={9 << 20}", image, "20M"])
    disk = gather_disk(image)
    said = run([find_tool("blkid", "util-linux"), "-p", "-O", str(9 << 20), "-o", "export", image]).stdout
    real = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    for device in (f"UUID={real['UUID']}", f"LABEL={real['LABEL']}", "PARTLABEL=my root", "/dev/disk/by-label/L-x"):
        assert not disk.lacks(device)
    assert disk.lacks("LABEL=other") and disk.lacks("/dev/mapper/vg-root") and not disk.lacks("/dev/sda2")


def test_a_shim_of_debian_names_what_it_loads(need: Callable[..., None], tmp_path: Path) -> None:
    """Debian's real program, alone and with GRUB beside it."""
    shim = Path("/usr/lib/shim/shimx64.efi")
    need(f"file:{shim}", "tool:grub-mkimage", "file:/usr/lib/grub/x86_64-efi/moddep.lst")
    sample = good_image(tmp_path / "tree").write("boot/efi/EFI/BOOT/BOOTX64.EFI", shim.read_bytes())
    firmware = Facts(Tree(sample.root)).firmware
    assert firmware and firmware.problem == "shim finds nothing to load: no \\EFI\\BOOT\\grubx64.efi"
    sample.write("boot/efi/EFI/BOOT/grubx64.efi", _grub(tmp_path))
    firmware = Facts(Tree(sample.root)).firmware
    assert firmware and [stage.role for stage in firmware.stages] == ["shim", "grub"]


def test_a_broken_menu_is_no_traceback() -> None:
    chosen = random.Random(7)
    pieces = (
        "menuentry 'a' {\n",
        "submenu x {\n",
        "}\n",
        "linux /k a=b\n",
        "blscfg\n",
        "set default=1>\n",
        "search -u\n",
    )
    for _ in range(200):
        text = "".join(chosen.choice(pieces) for _ in range(chosen.randrange(12)))
        menu = read_menu(text, "x", {})
        menu.chosen(menu.items)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("default=1\nmenuentry a {\n linux /a\n}\nmenuentry b {\n linux /b\n}\n", "/b"),
        ("menuentry a {\n linux (hd0,gpt2)/a x=1\n}\n", "/a"),
        ("set k=/a\nmenuentry a {\n linux ($root)$k x=1\n}\n", "/a"),
        ("menuentry a {\n linux /a \\\n   x=1\n}\n", "/a"),
        ("source ${config_directory}/custom.cfg\n", "/c"),
        ("set default=1\nmenuentry a {\n linux /a\n}\nif true; then\n  source $prefix/custom.cfg\nfi\n", "/c"),
        (
            "source $config_directory/custom.cfg\nsource $prefix/custom.cfg\ndefault=1\nmenuentry b {\n linux /b\n}\n",
            "/b",
        ),
        ("source /boot/grub/gone.cfg\nmenuentry a {\n linux (loop)/live\n}\nmenuentry b {\n linux /b\n}\n", "/b"),
    ],
)
def test_a_menu_by_hand_is_read_as_grub_reads_it(text: str, starts: str, tmp_path: Path) -> None:
    sample = good_image(tmp_path).write("boot/grub/grub.cfg", text)
    sample.write("boot/grub/custom.cfg", "menuentry c {\n linux /c x=1\n}\n")
    entry = Facts(Tree(sample.root)).chosen_entry
    assert entry is not None
    assert entry.kernel == starts
    assert entry.args in ((), ("x=1",))
