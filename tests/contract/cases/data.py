"""Custom data, user data, hooks, and the copy of the medium."""

import base64

from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    STATE,
    Case,
    File,
    failed,
    imds,
    machine,
    provisioned,
)
from tests.contract.cases.passwords import redacted as _redacted

SCRIPT = '#!/bin/sh\necho ran as custom data\necho "$AZURE_ADMIN_USER $AZURE_HOSTNAME $AZURE_ADMIN_HOME"\n'


def copy(vm: Machine) -> dict[str, File]:
    """The kept document: custom data and passwords are REDACTED."""
    files = _redacted(vm)
    encoded = base64.b64encode(vm.custom_data.encode()).decode()
    text = files[f"{STATE}/ovf-env.xml"].text
    return {f"{STATE}/ovf-env.xml": File(text.replace(f">{encoded}<", ">REDACTED<") if encoded else text, 0o600)}


def custom(name: str, text: str, **more: object) -> Case:
    vm = machine(custom_data=text)
    usual: dict[str, object] = {
        "machine": vm,
        "medium": ovf_env(vm),
        "changes": {**provisioned(), **copy(vm), f"{STATE}/custom-data": File(text, 0o600)},
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


def before_hooks() -> dict[str, File | None]:
    """What a run that fails in a hook or in custom data has done by then."""
    return {
        path: node
        for path, node in provisioned().items()
        if node is not None and not path.endswith(("applied", "reported"))
    }  # type: ignore[return-value]


def hook(name: str, text: str, **more: object) -> Case:
    usual: dict[str, object] = {
        "tree": {"etc/azure-provisioning.d/10-site": File(f"#!/bin/sh\n{text}\n", 0o755)},
        "changes": provisioned(),
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


BAD = "not base64!\n$(id)"

CASES = [
    custom("custom data is kept, not run", SCRIPT, everywhere=True),
    custom("custom data with every byte below 128", "".join(map(chr, range(1, 128)))),
    custom(
        "custom data is run where the image wants it",
        SCRIPT,
        settings="CUSTOM_DATA=run\n",
        changes={
            **provisioned(),
            **copy(machine(custom_data=SCRIPT)),
            f"{STATE}/custom-data": File(SCRIPT, 0o700),
        },
        says=("ran as custom data\nazureuser web1 /home/azureuser\n",),
    ),
    custom(
        "custom data that is no script is not run",
        "#cloud-config\n",
        settings="CUSTOM_DATA=run\n",
    ),
    custom(
        "custom data that fails",
        "#!/bin/sh\nexit 3\n",
        settings="CUSTOM_DATA=run\n",
        exit=1,
        changes={**before_hooks(), f"{STATE}/custom-data": File("#!/bin/sh\nexit 3\n", 0o700)},
        report=failed("custom data failed", "step=custom-data", "exit=3", vm=machine(custom_data="x")),
    ),
    custom(
        "custom data that never ends",
        "#!/bin/sh\nexec sleep 30\n",
        settings="CUSTOM_DATA=run\nHOOK_TIMEOUT=1\n",
        exit=1,
        changes={**before_hooks(), f"{STATE}/custom-data": File("#!/bin/sh\nexec sleep 30\n", 0o700)},
        report=failed("custom data timed out", "step=custom-data", "limit=1 s"),
    ),
    custom(
        "custom data is ignored where the image wants that",
        SCRIPT,
        settings="CUSTOM_DATA=ignore\n",
        changes={**provisioned(), **copy(machine(custom_data=SCRIPT))},
    ),
    Case(
        "custom data that is not base64 is kept as it came",
        medium=ovf_env(machine(custom_data="X")).replace(">WA==<", f">{BAD}<"),
        changes={
            **provisioned(),
            f"{STATE}/custom-data": File(BAD, 0o600),
            f"{STATE}/ovf-env.xml": File(ovf_env(machine(custom_data="X")).replace(">WA==<", ">REDACTED<"), 0o600),
        },
        says=("warning: custom data is not base64 and is kept as it came",),
    ),
    Case(
        "user data comes from IMDS",
        machine=machine(user_data="user's\n"),
        changes={**provisioned(), f"{STATE}/user-data": File("user's\n", 0o600)},
    ),
    Case(
        "user data of 48 KiB",
        machine=machine(user_data="0123456789abcdef" * 3072),
        changes={**provisioned(), f"{STATE}/user-data": File("0123456789abcdef" * 3072, 0o600)},
        everywhere=True,
    ),
    Case(
        "user data in lines",
        machine=imds(compute__userData="aGVs\nbG8=\n"),
        changes={**provisioned(), f"{STATE}/user-data": File("hello", 0o600)},
    ),
    Case(
        "user data that is not base64",
        machine=imds(compute__userData="###"),
        changes={**provisioned(), f"{STATE}/user-data": File("###", 0o600)},
        says=("warning: user data is not base64 and is kept as it came",),
    ),
    hook(
        "a hook gets the facts, and nothing else",
        'env | sort | sed "s,$AZURE_ROOT,ROOT,"; pwd',
        says=(
            "AZURE_ADMIN_HOME=/home/azureuser\nAZURE_ADMIN_USER=azureuser\nAZURE_CUSTOM_DATA=\n",
            "AZURE_HOSTNAME=web1\nAZURE_LOCATION=westeurope\nAZURE_ROOT=ROOT\nAZURE_USER_DATA=\nAZURE_VM_ID=",
        ),
    ),
    hook(
        "hooks in the order of their names, others left out",
        "echo first",
        tree={
            "etc/azure-provisioning.d/10-site": File("#!/bin/sh\necho A-first\n", 0o755),
            "etc/azure-provisioning.d/9-later": File("#!/bin/sh\necho B-second\n", 0o755),
            "etc/azure-provisioning.d/a-last": File("#!/bin/sh\necho C-third\n", 0o755),
            "etc/azure-provisioning.d/.hidden": File("#!/bin/sh\nexit 1\n", 0o755),
            "etc/azure-provisioning.d/10-site~": File("#!/bin/sh\nexit 1\n", 0o755),
            "etc/azure-provisioning.d/README": File("not a program\n"),
        },
        says=("hooks: running 10-site\nA-first\nhooks: running 9-later\nB-second\nhooks: running a-last\nC-third\n",),
        everywhere=True,
    ),
    hook(
        "a hook that fails is named",
        "exit 7",
        exit=1,
        changes=before_hooks(),
        report=failed("hook 10-site failed", "step=hooks", "exit=7"),
    ),
    hook(
        "a hook that ends with 124 has not timed out",
        "exit 124",
        exit=1,
        changes=before_hooks(),
        report=failed("hook 10-site failed", "step=hooks", "exit=124"),
    ),
    hook(
        "a hook that hangs",
        "sleep 30",
        settings="HOOK_TIMEOUT=1\n",
        exit=1,
        changes=before_hooks(),
        report=failed("hook 10-site timed out", "step=hooks", "limit=1 s"),
    ),
    hook(
        "early report before long work",
        "true",
        settings="EARLY_REPORT=yes\n",
        everywhere=True,
        requests=(
            "imds GET /metadata/instance?api-version=2021-08-01&extended=true 200",
            *("wireserver GET /machine?comp=goalstate 200", "wireserver POST /machine?comp=health 200") * 2,
        ),
    ),
    Case(
        "a step that the image skips",
        settings="SKIP=sudo, keys\n",
        changes={path: node for path, node in provisioned(keys=()).items() if not path.startswith("etc/sudoers.d")},
        commands=("useradd --prefix ROOT --create-home --shell /bin/bash --groups sudo,adm azureuser",),
    ),
    Case(
        "settings that are not known or not allowed",
        settings="# a comment\n\nKVP = maybe\nNONSENSE=1\nDEADLINE=soon\nGROW=$(touch FOLDER/evil)\n",
        changes=provisioned(),
        says=("warning: setting NONSENSE is not known and ignored", "warning: setting KVP=maybe is not allowed"),
    ),
    Case(
        "the hypervisor's random bytes, in a tree",
        tree={"sys/firmware/acpi/tables/OEM0": File("x" * 100)},
        changes=provisioned(),
        says=("64 bytes",),
    ),
    Case("growing needs a running machine", settings="GROW=yes\n", changes=provisioned(), says=("grow: needs",)),
]
