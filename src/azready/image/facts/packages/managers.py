"""Every package manager that is known, a row each; a new one is a row here, and a reader of its database beside it."""

from collections.abc import Mapping

from azready.image.facts.packages import rpm, text
from azready.image.facts.packages.model import Database, Installer, Manager

_AS_ROOT = ("-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Pipeline-Depth=0")
_APT = (
    *("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
    *_AS_ROOT,
)
_APT_GET = Installer("apt-get", (*_APT, "install"), ("apt-get", "-q", *_AS_ROOT, "update"))
_DEB_FILES = (
    Installer("apt-get", (*_APT, "--reinstall", "--allow-downgrades", "install")),
    Installer("dpkg", ("dpkg", "--install")),
)
"""apt sees that something is missing before it has begun; dpkg leaves it half installed."""
_OF_RPM = (
    Installer("dnf", ("dnf", "-y", "install")),
    Installer("microdnf", ("microdnf", "-y", "install")),
    Installer("tdnf", ("tdnf", "-y", "install")),
    Installer("yum", ("yum", "-y", "install")),
    Installer("zypper", ("zypper", "--non-interactive", "install")),
)
_RPM_DATABASES = (
    Database("usr/lib/sysimage/rpm/rpmdb.sqlite", rpm.read_sqlite),
    Database("var/lib/rpm/rpmdb.sqlite", rpm.read_sqlite),
    Database("usr/lib/sysimage/rpm/Packages.db", rpm.read_ndb),
    Database("var/lib/rpm/Packages.db", rpm.read_ndb),
    Database("usr/lib/sysimage/rpm/Packages", rpm.read_berkeley),
    Database("var/lib/rpm/Packages", rpm.read_berkeley),
)
_APK_DATABASES = (
    Database("usr/lib/apk/db/installed", text.read_apk),
    Database("lib/apk/db/installed", text.read_apk),
)
_APT_DATABASES = (
    Database("var/lib/dpkg/status", text.read_dpkg, text.dpkg_remains),
    Database("var/lib/dpkg/status.d", text.read_dpkg_fragments),
)
_ROWS = (
    Manager(
        "apt",
        "deb",
        _APT_DATABASES,
        "etc/apt/{sources.list,sources.list.d/*.{list,sources}}",
        suffix=".deb",
        install_files=_DEB_FILES,
        installers=(_APT_GET,),
        starts_services=True,
    ),
    Manager(
        "rpm",
        "rpm",
        _RPM_DATABASES,
        "etc/{yum.repos.d,zypp/repos.d,dnf/repos.d}/*.repo",
        ("rpm", "-e"),
        "remove first what depends on them, or fix the package database",
        ".rpm",
        (Installer("rpm", ("rpm", "-U", "--replacepkgs", "--nosignature")),),
        _OF_RPM,
    ),
    Manager(
        "apk",
        "apk",
        _APK_DATABASES,
        "etc/apk/repositories",
        suffix=".apk",
        install_files=(Installer("apk", ("apk", "add", "--no-network", "--allow-untrusted", "--quiet")),),
        installers=(Installer("apk", ("apk", "add", "--quiet"), ("apk", "update", "--quiet")),),
    ),
    Manager(
        "pacman",
        "alpm",
        (Database("var/lib/pacman/local", text.read_pacman),),
        remove=("pacman", "-R", "--nosave", "--noconfirm"),
        suffix=".pkg.tar.zst",
        install_files=(Installer("pacman", ("pacman", "-U", "--noconfirm")),),
        installers=(
            Installer("pacman", ("pacman", "-S", "--noconfirm", "--needed"), ("pacman", "-Sy", "--noconfirm")),
        ),
    ),
    Manager(
        "portage",
        "ebuild",
        (Database("var/db/pkg", text.read_portage),),
        remove=("emerge", "--ask=n", "--quiet", "--unmerge"),
    ),
)
MANAGERS: Mapping[str, Manager] = {manager.name: manager for manager in _ROWS}
"""Every package manager that is known, by name; the first whose database is there is the image's."""
