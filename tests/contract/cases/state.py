"""State, the VM id, and the guards before anything happens."""

from tests.contract.case import (
    LINK,
    STATE,
    USUAL,
    Case,
    File,
    Folder,
    Link,
    begun,
    imds,
    machine,
    provisioned,
    stamp,
    stamps,
)

VM = machine()
OTHER = machine(vm_id="11111111-2222-4333-8444-555555555555")
GEN1 = machine(generation=1)
NOTHING = f"VM {VM.vm_id} is provisioned and reported already: nothing to do"


def silent(name: str, **more: object) -> Case:
    usual: dict[str, object] = {"commands": (), "requests": (), "report": None, "changes": {LINK: None, **begun()}}
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


def without(path: str) -> dict[str, object]:
    return {key: node for key, node in provisioned().items() if key != path}


CASES = [
    silent(
        "provisioned and reported: nothing, but the unit is off",
        tree={f"{STATE}/applied": stamp(VM), f"{STATE}/reported": stamp(VM)},
        verdict=NOTHING,
        everywhere=True,
    ),
    silent(
        "the id in capitals and swapped is the same id",
        tree={
            f"{STATE}/applied": File("\n".join(reversed(stamp(VM).text.upper().split())) + "\n", 0o600),
            f"{STATE}/reported": File(stamp(VM).text.upper(), 0o600),
        },
        verdict=NOTHING,
    ),
    Case(
        "another VM's state: everything again",
        tree={f"{STATE}/applied": stamp(OTHER), f"{STATE}/reported": stamp(OTHER)},
        changes=provisioned(),
    ),
    Case(
        "reported, but not applied: everything",
        tree={f"{STATE}/reported": stamp(VM)},
        changes=without(f"{STATE}/reported"),  # type: ignore[arg-type]
    ),
    Case(
        "a damaged stamp is nobody's",
        tree={f"{STATE}/applied": File("\0\0garbage\n"), f"{STATE}/reported": File("")},
        changes=provisioned(),
    ),
    Case("a machine of generation 1", machine=GEN1, changes=provisioned(GEN1), says=("generation 1",), everywhere=True),
    Case(
        "no DMI: IMDS knows the id",
        tree={"sys/class/dmi/id/product_uuid": None},
        options=("--platform", "azure"),
        changes=provisioned(),
    ),
    silent(
        "no DMI, but the state is of the id that IMDS tells",
        tree={
            "sys/class/dmi/id/product_uuid": None,
            f"{STATE}/applied": stamp(VM),
        },
        changes={f"{STATE}/reported": stamp(VM), LINK: None, **begun()},
        requests=USUAL,
        report=Case("x").report,
        verdict="Provisioned web1 in T s: reported Ready",
    ),
    Case(
        "no id from anywhere",
        machine=imds(compute__vmId=""),
        tree={"sys/class/dmi/id/product_uuid": File("not a guid\n")},
        changes={
            **provisioned(),
            f"{STATE}/applied": File("unknown\n", 0o600),
            f"{STATE}/reported": File("unknown\n", 0o600),
        },
    ),
    Case(
        "the id is given",
        options=("--vm-id", "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE"),
        changes={
            **provisioned(),
            **stamps(machine(vm_id="aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")),
        },
    ),
    silent(
        "not on Azure",
        tree={"sys/class/dmi/id/chassis_asset_tag": File("No Asset Tag\n")},
        changes={},
        verdict="Not on Azure (chassis asset tag: No Asset Tag): nothing to do",
        everywhere=True,
    ),
    silent(
        "no asset tag",
        tree={"sys/class/dmi/id/chassis_asset_tag": None},
        changes={},
        verdict="Not on Azure (chassis asset tag: none): nothing to do",
    ),
    Case(
        "the links of every init are taken away",
        tree={
            "etc/runlevels/default/azure-provisioning": Link("/etc/init.d/azure-provisioning"),
            "etc/init.d/azure-provisioning": File("#!/bin/sh\n", 0o755),
            "etc/rc2.d/S17azure-provisioning": Link("../init.d/azure-provisioning"),
            "etc/rc2.d/S17azure-provisioning-clone": Link("../init.d/azure-provisioning-clone"),
            "etc/runit/runsvdir/default/azure-provisioning": Link("/etc/sv/azure-provisioning"),
        },
        changes={
            **provisioned(),
            "etc/runlevels/default/azure-provisioning": None,
            "etc/rc2.d/S17azure-provisioning": None,
            "etc/runit/runsvdir/default/azure-provisioning": None,
        },
    ),
    silent(
        "a dry run changes nothing",
        options=("--dry-run",),
        requests=USUAL[:1],
        changes={},
        verdict="Provisioned web1 in T s: not reported (--dry-run)",
        says=("would write /etc/hostname", "would run useradd"),
    ),
    silent(
        "only one step",
        options=("--only", "hostname"),
        requests=USUAL[:1],
        changes={
            **begun(),
            "etc/hostname": File("web1\n"),
            "etc/hosts": File("127.0.0.1 localhost\n127.0.1.1 web1\n"),
        },
        verdict="Provisioned web1 in T s: not reported (--only)",
    ),
    Case(
        "all but one step",
        options=("--skip=hostname",),
        changes={key: node for key, node in provisioned().items() if key not in ("etc/hostname", "etc/hosts")},
        verdict="Provisioned web1 in T s: reported Ready",
    ),
    silent(
        "the image reports by itself",
        settings="REPORT=none\n",
        requests=USUAL[:1],
        commands=Case("x").commands,
        changes={k: v for k, v in provisioned().items() if v is not None and not k.endswith("reported")},
        verdict="Provisioned web1 in T s: not reported (REPORT=none)",
    ),
    Case(
        "the verb report, later",
        options=("report",),
        settings="REPORT=none\n",
        tree={f"{STATE}/applied": stamp(VM), "etc/hostname": File("web1\n")},
        commands=(),
        requests=USUAL[1:],
        changes={f"{STATE}/reported": stamp(VM), LINK: None, **begun()},
        verdict="Provisioned web1 in T s: reported Ready",
    ),
    silent(
        "the verb report, too early",
        options=("report",),
        exit=1,
        changes=begun(),
        verdict=f"Nothing is reported: VM {VM.vm_id} is not provisioned yet",
    ),
    Case(
        "what an earlier run of this boot told is taken back before anything is done",
        tree={
            "run/azure-provisioning/told": File("", 0o600),
            "etc/azure-provisioning.d/10-told": File(
                "#!/bin/sh\n! test -e $AZURE_ROOT/run/azure-provisioning/told\n", 0o755
            ),
        },
        changes=provisioned(),
    ),
    silent(
        "a dry run takes back nothing that was told",
        tree={"run/azure-provisioning/told": File("", 0o600)},
        options=("--dry-run", "--only", "hostname"),
        requests=USUAL[:1],
        changes={},
        told=True,
        verdict="Provisioned web1 in T s: not reported (--only)",
    ),
    Case(
        "an empty state folder of another mode",
        tree={STATE: Folder(0o755)},
        changes=provisioned(),
    ),
]
