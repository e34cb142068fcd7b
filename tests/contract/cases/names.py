"""Host names: where they come from, which are refused, what they change."""

from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    IMDS,
    KEY,
    KEYS,
    SUDOERS,
    USERADD,
    USUAL,
    Case,
    File,
    account,
    begun,
    failed,
    hosts,
    imds,
    machine,
    named,
    provisioned,
    stamps,
    sudoers,
)

LONG = "a" * 40 + "." + "b" * 40
LABEL = "c" * 63

BAD_NAME = "invalid IMDS metadata for key=compute.osProfile.computerName"


def refused(name: str, value: str) -> Case:
    """A computer name that is none: nothing is changed, and the owner learns which key it was."""
    vm = imds(compute__osProfile__computerName=value)
    shown = value.replace("\n", " ")
    return Case(
        name,
        machine=vm,
        exit=1,
        changes=begun(),
        commands=(),
        report=failed(BAD_NAME, f"value={shown}", vm=vm),
    )


CASES = [
    Case("a plain first boot", changes=provisioned(), everywhere=True),
    Case(
        "computer name before VM name",
        machine=machine(name="vm-resource", computer_name="web-1"),
        changes={
            **provisioned(machine(name="vm-resource", computer_name="web-1"), "web-1"),
        },
    ),
    Case(
        "empty computer name: the VM's name",
        machine=imds(compute__osProfile__computerName=""),
        changes=provisioned(),
    ),
    Case(
        "a VM name that is no host name",
        machine=imds(compute__osProfile__computerName="", compute__name="my_vm"),
        changes={**stamps(machine()), **account("azureuser", KEY)},
        verdict="Provisioned this VM in T s: reported Ready",
        says=("warning: the VM's name my_vm cannot be a host name; the image's stays",),
    ),
    Case(
        "a host name of 81 characters is cut at its dot",
        machine=imds(compute__osProfile__computerName=LONG),
        changes={**provisioned(host="a" * 40)},
        says=(f"warning: host name {LONG} is longer than 64 characters and was cut",),
    ),
    Case(
        "a label of 63 characters is taken whole",
        machine=imds(compute__osProfile__computerName=LABEL),
        changes=provisioned(host=LABEL),
    ),
    Case(
        "a name with a domain",
        machine=imds(compute__osProfile__computerName="web.example.org"),
        changes={
            **provisioned(host="web.example.org"),
            "etc/hosts": File("127.0.0.1 localhost\n127.0.1.1 web.example.org web\n"),
        },
    ),
    refused("a label of 64 characters", "d" * 64),
    refused("a host name that is a command", "$(touch FOLDER/evil)"),
    refused("a host name with backquotes", "`id`"),
    refused("a host name with a newline", "web\n127.0.0.1 evil"),
    refused("a host name with quotes", "a\"b'c"),
    refused("a host name that is a glob", "*"),
    refused("a host name with a hyphen in front", "-web"),
    refused("a host name with an underscore", "my_host"),
    Case(
        "upper case stays",
        machine=imds(compute__osProfile__computerName="Web-1"),
        changes=provisioned(host="Web-1"),
    ),
    Case(
        "the name is in /etc/hosts already",
        tree={"etc/hosts": File("127.0.0.1 localhost WEB1\n")},
        changes={path: node for path, node in provisioned().items() if path != "etc/hosts"},
    ),
    Case(
        "an earlier line for 127.0.1.1 is replaced",
        tree={"etc/hosts": File("127.0.1.1 golden # image\n127.0.0.1 localhost\n")},
        changes={**provisioned(), "etc/hosts": File("127.0.1.1 web1\n127.0.0.1 localhost\n")},
    ),
    Case(
        "NSS knows the name by itself",
        tree={"etc/nsswitch.conf": File("hosts: files myhostname dns\n")},
        changes={path: node for path, node in provisioned().items() if path != "etc/hosts"},
    ),
    Case(
        "the image has no /etc/hosts",
        tree={"etc/hosts": None},
        changes={**provisioned(), "etc/hosts": hosts("web1")},
    ),
    Case(
        "a file that cannot be written fails its step",
        tree={"etc/hostname/in-the-way": File("")},
        exit=1,
        changes=begun(),
        commands=(),
        report=failed("failure in step hostname", "step=hostname", "error=WHAT"),
    ),
    Case(
        "what is right already is left alone",
        tree={**named(), SUDOERS: sudoers("azureuser")},
        commands=(USERADD,),
        changes={**stamps(machine()), KEYS: File(KEY + "\n", 0o600)},
        verdict="Provisioned web1 in T s: reported Ready",
        says=("hostname: web1 already", "sudo: azureuser may sudo already"),
    ),
    Case(
        "host name from the medium, when IMDS has none",
        machine=imds(compute__osProfile__computerName="", compute__name=""),
        medium=ovf_env(machine(name="from-medium")),
        changes={
            **provisioned(host="from-medium"),
            "var/lib/azure-provisioning/ovf-env.xml": File(ovf_env(machine(name="from-medium")), 0o600),
        },
        requests=USUAL,
    ),
    Case(
        "an old IMDS knows the VM's name alone: the medium has the computer name",
        machine=imds(compute__osProfile__computerName="", compute__name="vm-resource"),
        medium=ovf_env(machine(name="vm-resource", computer_name="web-1")),
        changes={
            **provisioned(host="web-1"),
            "var/lib/azure-provisioning/ovf-env.xml": File(
                ovf_env(machine(name="vm-resource", computer_name="web-1")), 0o600
            ),
        },
        requests=USUAL,
    ),
    Case(
        "a bad host name on the medium",
        machine=imds(compute__osProfile__computerName="", compute__name=""),
        medium=ovf_env(machine(name="vm", computer_name="bad name")),
        exit=1,
        commands=(),
        changes=begun(),
        requests=(f"{IMDS} 200", *USUAL[1:]),
        report=failed("unexpected metadata parsing ovf-env.xml: HostName", "value=bad name"),
    ),
]
