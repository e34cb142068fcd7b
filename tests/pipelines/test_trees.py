"""Trees are what Debian's own tools make: whole, cached by content, and never half made."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.errors import Failure, UsageFailure
from azready.pipelines.trees import TreeSpec, cache_directory, pack, remove, tree, unpack


def test_the_key_follows_the_content_and_not_the_order_of_the_packages() -> None:
    assert TreeSpec(packages=("sudo", "curl")).key == TreeSpec(packages=("curl", "sudo", "curl")).key
    keys = {TreeSpec().key, TreeSpec("trixie").key, TreeSpec(packages=("curl",)).key, TreeSpec(network="ifupdown").key}
    assert len(keys) == 4
    assert TreeSpec("trixie").key.startswith("trixie-")


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageFailure) as refused:
        TreeSpec("buster")
    assert "bookworm" in refused.value.hint


def test_a_tree_holds_its_packages_and_nothing_of_the_build_host(debian_tree: Callable[..., Path]) -> None:
    root = debian_tree("bookworm", "waagent")
    status = (root / "var/lib/dpkg/status").read_text()
    assert "Package: waagent\n" in status
    assert "Package: openssh-server\n" in status
    assert (root / "etc/hostname").read_text() == "debian\n"
    assert (root / "etc/resolv.conf").read_text() == ""
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert (root / "usr/bin/sudo").stat().st_mode & stat.S_ISUID
    wants = root / "etc/systemd/system/multi-user.target.wants"
    assert (wants / "systemd-networkd.service").is_symlink()
    assert (wants / "walinuxagent.service").is_symlink()


@pytest.mark.long
def test_a_package_that_does_not_exist_leaves_nothing_behind(need: Callable[..., None]) -> None:
    need("root", "tool:mmdebstrap", "tool:zstd")
    with pytest.raises(Failure) as failed:
        tree("bookworm", ("no-such-package-anywhere",))
    assert "no-such-package-anywhere" in failed.value.message
    assert "no-such-package-anywhere" in failed.value.hint
    spec = TreeSpec(packages=("no-such-package-anywhere",))
    assert not [path for path in cache_directory().iterdir() if spec.key in path.name and ".lock" not in path.name]


def test_packing_and_unpacking_keep_modes_and_links(need: Callable[..., None], tmp_path: Path) -> None:
    need("ids", "tool:zstd")
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    (source / "program").write_text("x")
    (source / "program").chmod(0o4751)
    (source / "link").symlink_to("program")
    pack(source, tmp_path / "packed.tar.zst")
    unpack(tmp_path / "packed.tar.zst", copy)
    assert stat.S_IMODE((copy / "program").stat().st_mode) == 0o4751
    assert (copy / "link").readlink() == Path("program")
    remove(copy)
    assert not copy.exists()
