"""An .rpm, by rpmbuild. Units are enabled by the preset that the package brings."""

import os
import tempfile
from pathlib import Path

from azready.proc import run
from release.about import DESCRIPTION, HOMEPAGE, LANGUAGE, LICENCE, SUMMARY, Release, name, other, wrapped
from release.papers import manuals
from release.payload import Entry, Payload, parents
from release.tree import lay

_NEEDS = {"python": "/usr/bin/python3", "sh": "(curl or wget or bash)"}

_SPEC = """
Name: {name}
Version: {version}
Release: 1
Summary: {summary}
License: {licence}
URL: {homepage}
BuildArch: noarch
AutoReqProv: no
Requires: {needs}
Requires: /usr/sbin/useradd
Conflicts: {rival}
Conflicts: WALinuxAgent
Conflicts: cloud-init

%description
{description}

%install
cp -a {root}/. %{{buildroot}}/

%files
%defattr(-,root,root,-)
{files}

%post
{post}
%preun
if [ $1 -eq 0 ]; then
    systemctl --no-reload disable {units} >/dev/null 2>&1 || :
    rm -rf /usr/lib/azure-provisioning/__pycache__
fi
"""
_POST = """if [ $1 -eq 1 ]; then
    systemctl --no-reload preset {units} >/dev/null 2>&1 || :
fi
"""
_COMPILE = "python3 -m compileall -q --invalidation-mode checked-hash {sources} >/dev/null 2>&1 || :\n"
_STEADY = {
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0",
    "_build_id_links": "none",
    "__os_install_post": "%{nil}",
    "__brp_mangle_shebangs": "%{nil}",
    "_binary_payload": "w9.gzdio",
    "_binary_filedigest_algorithm": "8",
    "_rpmfilename": "%{name}-%{version}-%{release}.noarch.rpm",
}
"""What would otherwise depend on the machine that builds, or be changed by it; gzip is read by every rpm."""


def build(payload: Payload, release: Release, folder: Path) -> Path:
    """Write NAME-VERSION-1.noarch.rpm into `folder`. Raises Failure without rpmbuild."""
    with tempfile.TemporaryDirectory() as scratch:
        root, spec = Path(scratch) / "root", Path(scratch) / "guest.spec"
        root.mkdir(mode=0o755)
        lay([*payload.entries, *manuals(release)], root, release.epoch)
        spec.write_text(_spec(payload, release, root))
        words: list[str | Path] = ["rpmbuild", "-bb", "--quiet", "--target", "noarch"]
        defined = {**_STEADY, "_topdir": str(Path(scratch) / "top"), "_rpmdir": str(folder), "_tmppath": scratch}
        for key, value in defined.items():
            words += ["--define", f"{key} {value}"]
        run([*words, spec], env={**os.environ, "SOURCE_DATE_EPOCH": str(release.epoch)})
    return folder / f"{name(payload.guest)}-{release.version}-1.noarch.rpm"


def _spec(payload: Payload, release: Release, root: Path) -> str:
    units = " ".join(payload.units)
    compiled = _COMPILE.format(sources=" ".join(payload.bytecode)) if payload.bytecode else ""
    return _SPEC.format(
        name=name(payload.guest),
        version=release.version,
        summary=SUMMARY[0].upper() + SUMMARY[1:],
        licence=LICENCE,
        homepage=HOMEPAGE,
        needs=_NEEDS[payload.guest],
        rival=other(payload.guest),
        description="\n".join([*wrapped(DESCRIPTION), "", f"This package has {LANGUAGE[payload.guest]}."]),
        root=root,
        files="\n".join(map(_file, [*_folders(payload), *payload.entries, *manuals(release)])),
        post=_POST.format(units=units) + compiled,
        units=units,
    )


def _folders(payload: Payload) -> list[Entry]:
    """Folders of ours that lie in the way: rpm leaves one behind that no package owns."""
    listed = [each.path for each in payload.entries]
    ours = [folder for folder in parents(listed) if "/azure-provisioning" in folder and folder not in listed]
    return [Entry(folder, "folder", 0o755) for folder in ours]


def _file(entry: Entry) -> str:
    mode = f"%attr({entry.mode:04o},root,root) "
    kind = "%dir " if entry.kind == "folder" else "%config(noreplace) " if entry.conffile else ""
    return f"{mode}{kind}{entry.path}"
