"""The provisioning medium as a real disc in a real kernel: mounted, read, unmounted, ejected, by both programs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from azready.fabric import Fault, Machine
from azready.fabric.protocol.media import medium
from tests.boot import workbench

PASSWORD = "Secret12345!"
MACHINE = Machine(
    name="web1",
    admin_username="ada",
    admin_password=PASSWORD,
    disable_password_authentication=False,
    custom_data="#!/bin/sh",
    generation=1,
)

FACTS = f"""
echo "== facts"
hostname
cat /var/lib/azure-provisioning/custom-data; echo
grep -c '{PASSWORD}' /var/lib/azure-provisioning/ovf-env.xml
perl -e '$kept = (getpwnam "ada")[1]; print "password ", crypt("{PASSWORD}", $kept) eq $kept ? "right" : "wrong", "\\n"'
grep medium /proc/mounts
echo "== report"
"""
RIGHT = ["web1", "#!/bin/sh", "0", "password right"]
STATUS = """
status() {
    perl -e 'use Fcntl; %words = (1, "empty", 2, "open", 4, "loaded");
        for (@ARGV) {
            sysopen F, $_, O_RDONLY | O_NONBLOCK;
            $is = ioctl F, 0x5326, 0x7fffffff;
            print "$_ $words{$is}\\n"
        }' "$@"
}
"""
"""Asks drives by CDROM_DRIVE_STATUS."""


def drive(number: int, disc: Path | None) -> tuple[str, ...]:
    """QEMU's words for a CD drive on a bus of its own."""
    media = ("-drive", f"if=none,id=more{number},format=raw,readonly=on,file={disc}") if disc else ()
    given = f",drive=more{number}" if disc else ""
    return (*media, "-device", f"virtio-scsi-pci,id=bus{number}", "-device", f"scsi-cd,bus=bus{number}.0{given}")


PROBE = """
mkdir probe other
printf '#!/bin/sh\\ngrep medium /proc/mounts >>/dev/console; exec busybox umount "$@"\\n' >probe/umount
chmod 755 probe/umount
export PATH=/run/work/probe:$PATH
"""
"""An umount that first shows how the medium is mounted; its output is nobody's, so it says it to the console."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", workbench.PROGRAMS)
def test_a_disc_is_enough(need: Callable[..., None], tmp_path: Path, program: str) -> None:
    """IMDS is dead. sr0 is empty, sr1 a UDF disc without prefixes, sr2 has ISO 9660, sr3 is the fabric's own."""
    need(*workbench.NEEDS)
    plain, old = tmp_path / "plain.iso", tmp_path / "old.iso"
    plain.write_bytes(medium(replace(MACHINE, medium_form="default")))
    old.write_bytes(medium(MACHINE, iso9660=True))
    script = f"""{STATUS}{PROBE}
run="{workbench.PROGRAMS[program].replace("PATH=", "PATH=/run/work/probe:")}"
echo IMDS_WAIT=1 >/etc/azure-provisioning.conf
echo "== without UDF"
busybox rmmod udf
$run --only custom-data --medium /dev/sr2
busybox insmod udf.ko
echo "== mounted elsewhere"
mount -o ro /dev/sr2 other
(cd other; $run --only ovf-copy --medium /dev/sr2)
echo "== locked door"
eject -i on /dev/sr3
$run --only ovf-copy --medium /dev/sr3
echo "== run"
$run --report none
{FACTS}
echo "== drives"
status /dev/sr?
$run report
"""
    more = (*drive(0, None), *drive(1, plain), *drive(2, old))
    record = workbench.run(script, MACHINE, faults=(Fault(service="imds", reset=True),), more=more)
    told = workbench.sections(record)
    assert record.verdict.provisioned, told
    assert told["facts"] == RIGHT
    mounted = "/run/azure-provisioning/medium {} ro,nosuid,nodev,noexec,"
    assert any(line.startswith("/dev/sr2 " + mounted.format("iso9660")) for line in told["without UDF"]), told
    assert any(line.startswith("/dev/sr1 " + mounted.format("udf")) for line in told["run"]), told
    assert any("/dev/sr2 not ejected (" in line for line in told["mounted elsewhere"]), told
    assert any("/dev/sr3 ejected" in line for line in told["locked door"]), told
    assert any("/dev/sr1 ejected" in line for line in told["run"]), told
    assert told["drives"][:4] == ["/dev/sr0 empty", "/dev/sr1 open", "/dev/sr2 loaded", "/dev/sr3 open"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", workbench.PROGRAMS)
def test_a_disc_that_comes_late_is_waited_for(need: Callable[..., None], program: str) -> None:
    need(*workbench.NEEDS)
    script = f"""{STATUS}
echo "== drives"
status /dev/sr0
echo "== run"
{workbench.PROGRAMS[program]} --report none
{FACTS}
{workbench.PROGRAMS[program]} report
"""
    record = workbench.run(script, MACHINE, faults=(Fault(service="media", delay=2.0),))
    told = workbench.sections(record)
    assert record.verdict.provisioned, told
    assert told["drives"] == ["/dev/sr0 empty"]
    assert told["facts"] == RIGHT
    assert any(line.endswith("/dev/sr0 ejected", 0, line.rfind(" (")) for line in told["run"]), told
    assert [one.method for one in record.exchanges if one.service == "media"] == ["INSERT", "EJECT"]
