"""What goes along with a package, worked out from dpkg's files."""

from azready.image.removal import dpkg

STATUS = """Package: cloud-init-base
Status: install ok installed
Version: 25.1
Depends: python3 (>= 3.8), dhcpcd-base, netplan.io | ifupdown, iproute2:any
Recommends: eject, gdisk
Provides: cloud-init-core
Description: first
 Status: not a field

Package: cloud-init
Status: install ok installed
Depends: cloud-init-base (= 25.1)

Package: meta
Status: install ok installed
Depends: cloud-init-core

Package: alternative
Status: install ok installed
Depends: cloud-init | python3

Package: python3
Status: install ok installed
Depends: netbase

Package: netbase
Status: install ok triggers-pending

Package: dhcpcd-base
Status: install ok installed

Package: netplan.io
Status: install ok installed

Package: iproute2
Essential: yes
Status: install ok installed

Package: eject
Status: install ok installed

Package: waagent
Status: deinstall ok config-files

Package: gone
Status: purge ok not-installed
"""


def test_states() -> None:
    states = {package.name: (package.installed, package.present) for package in dpkg.parse_status(STATUS)}
    assert states["cloud-init"] == (True, True)
    assert states["netbase"] == (True, True)
    assert states["waagent"] == (False, True)
    assert states["gone"] == (False, False)


def test_dependents_go_along_unless_another_will_do() -> None:
    packages = dpkg.parse_status(STATUS)
    assert dpkg.goes_along(packages, ["cloud-init"]) == []
    assert dpkg.goes_along(packages, ["cloud-init-base"]) == ["cloud-init", "meta"]
    assert dpkg.goes_along(packages, ["netplan.io"]) == ["cloud-init", "cloud-init-base", "meta"]


def test_what_an_image_needs_is_not_touched() -> None:
    packages = dpkg.parse_status(STATUS)
    assert dpkg.untouchable(packages, ["meta", "netplan.io", "iproute2", "linux-image-6.1"]) == [
        "netplan.io",
        "iproute2",
        "linux-image-6.1",
    ]


def test_the_network_is_kept_from_autoremove() -> None:
    packages = dpkg.parse_status(STATUS)
    automatic = {"dhcpcd-base", "netplan.io", "python3", "netbase", "eject", "cloud-init-base"}
    assert dpkg.to_keep(packages, ["cloud-init", "cloud-init-base"], automatic) == [
        "dhcpcd-base",
        "eject",
        "netbase",
        "netplan.io",
        "python3",
    ]
    assert dpkg.to_keep(packages, ["cloud-init", "cloud-init-base"], {"eject"}) == ["eject"]


def test_automatic_marks() -> None:
    text = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: amd64\nAuto-Installed: 0\n"
    assert dpkg.parse_auto_installed(text) == {"a"}
