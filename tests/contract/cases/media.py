"""The provisioning medium: with and without IMDS, prefixes, malformed documents."""

from azready.fabric.faults import Fault
from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    GOAL,
    HEALTH,
    IMDS,
    KEY,
    OTHER_KEY,
    STATE,
    Case,
    File,
    begun,
    failed,
    imds,
    machine,
    provisioned,
)
from tests.contract.cases.data import copy

DEAD = Fault(name="imds-dead", service="imds", status=403)
FULL = machine(custom_data="data\n", admin_password="Secret12345!", disable_password_authentication=False)
REPORTED = (f"{GOAL} 200", f"{HEALTH} 200")


def alone(name: str, text: str, **more: object) -> Case:
    """IMDS refuses for good: the medium is enough."""
    usual: dict[str, object] = {
        "faults": (DEAD,),
        "medium": text,
        "changes": {**provisioned(), f"{STATE}/ovf-env.xml": File(text, 0o600)},
        "requests": (f"{IMDS} 403", *REPORTED),
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


def malformed(name: str, text: str, **more: object) -> Case:
    usual: dict[str, object] = {
        "medium": text,
        "exit": 1,
        "commands": (),
        "changes": begun(),
        "requests": REPORTED,
        "verdict": "Provisioning failed: error parsing ovf-env.xml",
        "loose": True,
    }
    usual.pop("loose")
    report = failed("error parsing ovf-env.xml", "error=WHAT")
    return Case(name, report=report, **{**usual, **more})  # type: ignore[arg-type]


PLAIN = ovf_env(machine())
SECTION = "<wa:ProvisioningSection"
WHOLE = PLAIN[PLAIN.index(SECTION) : PLAIN.index("</wa:ProvisioningSection>") + len("</wa:ProvisioningSection>")]
_AT = PLAIN.index("<UserName>")
HALVES = (
    f"{PLAIN[:_AT]}</LinuxProvisioningConfigurationSet></wa:ProvisioningSection>"
    f"{WHOLE[: WHOLE.index('<ConfigurationSetType>')]}{PLAIN[_AT:]}"
)

CASES = [
    alone("the medium alone", PLAIN, everywhere=True),
    alone("the medium with another prefix", ovf_env(machine(), "ns1")),
    alone("the medium with a default namespace", ovf_env(machine(), "default")),
    alone(
        "the medium with a BOM, comments and CDATA",
        "\ufeff" + PLAIN.replace("<HostName>web1</HostName>", "<!-- <a> --><HostName><![CDATA[we]]>b&#49;</HostName>"),
    ),
    alone(
        "elements of another namespace are not ours",
        PLAIN.replace(
            "<HostName>",
            '<x:UserName xmlns:x="urn:else">mallory</x:UserName><x:HostName xmlns:x="urn:else">evil'
            "</x:HostName><HostName>",
        ),
    ),
    alone(
        "a medium with a password and custom data",
        ovf_env(FULL),
        machine=FULL,
        secret="Secret12345!",
        changes={
            **provisioned(),
            **copy(FULL),
            f"{STATE}/custom-data": File("data\n", 0o600),
            "etc/ssh/sshd_config.d/00-azure-provisioning.conf": File(
                "# Written by azure-provisioning: the password policy that the platform states for this VM.\n"
                "# sshd takes the first value that it reads, so this file sorts first.\nPasswordAuthentication yes\n"
                "KbdInteractiveAuthentication yes\nChallengeResponseAuthentication yes\n"
            ),
        },
        commands=(
            "useradd --prefix ROOT --create-home --shell /bin/bash --groups sudo,adm azureuser",
            "visudo -c -q -f FILE",
            "chpasswd --root ROOT",
            "sshd -t -f ROOT/etc/ssh/sshd_config",
        ),
    ),
    Case(
        "IMDS before the medium",
        medium=ovf_env(machine(name="from-medium", admin_username="mediumuser", public_keys=(OTHER_KEY,))),
        changes={
            **provisioned(),
            f"{STATE}/ovf-env.xml": File(
                ovf_env(machine(name="from-medium", admin_username="mediumuser", public_keys=(OTHER_KEY,))), 0o600
            ),
        },
    ),
    Case(
        "the medium fills what IMDS leaves open",
        machine=imds(
            compute__osProfile__adminUsername="",
            compute__osProfile__disablePasswordAuthentication="",
            compute__publicKeys=[],
        ),
        medium=ovf_env(machine(public_keys=(KEY, OTHER_KEY))),
        changes={
            **provisioned(keys=(KEY, OTHER_KEY)),
            f"{STATE}/ovf-env.xml": File(ovf_env(machine(public_keys=(KEY, OTHER_KEY))), 0o600),
        },
    ),
    Case(
        "a bad user name on the medium",
        faults=(DEAD,),
        medium=ovf_env(machine(admin_username="$(id)")),
        exit=1,
        commands=(),
        changes=begun(),
        requests=(f"{IMDS} 403", *REPORTED),
        report=failed("unexpected metadata parsing ovf-env.xml: UserName", "value=$(id)"),
    ),
    malformed(
        "a medium with a DTD", '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "evil">]>' + PLAIN.partition("?>")[2]
    ),
    malformed("a medium that is cut", PLAIN[:-30]),
    malformed("a medium that is empty", ""),
    malformed("a medium with two sections", PLAIN[: PLAIN.index(SECTION)] + 2 * WHOLE + PLAIN.partition(WHOLE)[2]),
    malformed("a medium whose two sections hold a half each", HALVES),
    malformed("a medium of another kind", "<html><body>busy</body></html>"),
    malformed("a medium with an unknown entity", PLAIN.replace("web1", "&evil;")),
    malformed("a medium with two user names", PLAIN.replace("<UserName>", "<UserName>x</UserName><UserName>")),
    malformed("a medium of more than 1 MiB", PLAIN + " " * (1 << 20)),
    malformed("a medium with an unbound prefix", PLAIN.replace("xmlns:wa=", "xmlns:other=")),
    Case(
        "IMDS expects custom data, but no medium comes",
        machine=machine(custom_data="x"),
        settings="MEDIUM_WAIT=1\n",
        options=("--medium", "FOLDER/bin"),
        changes=provisioned(machine(custom_data="x")),
        says=("warning: failure to read customData while hasCustomData=true: no provisioning medium was found",),
    ),
]
