"""Who gets in, and what the platform hears where nobody can: accounts, sudo and sshd as images have them."""

from collections.abc import Mapping

from tests.contract.case import (
    CLOSED,
    DROP_IN,
    KEY,
    SSHD,
    SUDOERS,
    USERADD,
    VISUDO,
    Case,
    File,
    Folder,
    Node,
    account,
    begun,
    failed,
    imds,
    machine,
    named,
    provisioned,
    sudoers,
)
from tests.contract.cases.accounts import PASSWD, SHADOW

GROUPED = "root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\n"
BAD_USER = "invalid IMDS metadata for key=compute.osProfile.adminUsername"


def image(
    passwd: str, shadow: str, group: str = GROUPED + "azureuser:x:1000:\n", **more: Node
) -> dict[str, Node | None]:
    """An image that has accounts already."""
    return {
        "etc/passwd": File(PASSWD + passwd),
        "etc/shadow": File(SHADOW + shadow, 0o640),
        "etc/group": File(group),
        "home/azureuser": Folder(0o700),
        **more,
    }


def shut(name: str, why: str, tree: Mapping[str, Node | None], commands: tuple[str, ...] = (VISUDO,)) -> Case:
    """The platform hears that nobody could log in."""
    return Case(
        name,
        tree=tree,
        exit=1,
        commands=commands,
        changes={**begun(), **named(), **account("azureuser", KEY)},
        report=failed(f"no way to log in: {why}", "step=access"),
    )


def sshd(*lines: str) -> dict[str, Node | None]:
    config = "\n".join(("Include /etc/ssh/sshd_config.d/*.conf", "UsePAM yes", *lines, ""))
    return {"etc/ssh/sshd_config": File(config)}


def system_account(name: str, line: str, why: str) -> Case:
    vm = machine(admin_username=line.partition(":")[0])
    user = vm.admin_username
    error = f"error={user} is a system account of this image ({why})"
    return Case(
        name,
        machine=vm,
        tree={"etc/passwd": File(PASSWD + line), "root/.ssh/authorized_keys": File("root's own\n", 0o600)},
        exit=1,
        commands=(),
        changes={**begun(), **named()},
        report=failed(BAD_USER, "step=user", f"value={user}", error, vm=vm),
    )


WHOLE = "azureuser:x:1000:1000::/home/azureuser:/bin/bash\n"
HALF = {**provisioned(), "etc/group": File(GROUPED + "azureuser:x:1000:\n")}

CASES = [
    system_account("a system account by its uid", "operator:x:11:0::/root:/sbin/nologin\n", "uid 11"),
    system_account("a system account by its home", "backup2:x:2000:2000::/usr/games:/bin/sh\n", "home /usr/games"),
    system_account(
        "a home that another account has, on a last line without its end",
        "azureuser:x:1000:1000::/home/azureuser:/bin/sh\nbob:x:1002:1002::/home/azureuser:/bin/sh",
        "home /home/azureuser",
    ),
    system_account("nobody", "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n", "uid 65534"),
    shut(
        "the shell of the account lets nobody in",
        "the shell of azureuser is /usr/sbin/nologin",
        image(WHOLE.replace("/bin/bash", "/usr/sbin/nologin"), "azureuser:!:19000:0:99999:7:::\n"),
    ),
    shut(
        "the account has expired",
        "the account azureuser has expired",
        image(WHOLE, "azureuser:!:19000:0:99999:7::1:\n"),
    ),
    shut(
        "AllowGroups names none of ours",
        "sshd's AllowGroups does not name azureuser",
        sshd("AllowGroups ssh-users", "AllowGroups root"),
        (USERADD, VISUDO),
    ),
    shut(
        "DenyUsers by a pattern, in a Match block",
        "sshd's DenyUsers names azureuser",
        sshd("Match Group sudo", "  DenyUsers bob azure*"),
        (USERADD, VISUDO),
    ),
    shut(
        "keys are off",
        "sshd takes no keys (PubkeyAuthentication no)",
        sshd("PubkeyAuthentication no"),
        (USERADD, VISUDO),
    ),
    Case(
        "a rule about hosts is no rule about the owner",
        tree=sshd("DenyUsers azureuser@10.0.0.1", "AllowUsers azureuser@192.168.*", "AllowGroups *,!root"),
        exit=1,
        changes={**begun(), **named(), **account("azureuser", KEY)},
        report=failed("no way to log in: sshd's AllowGroups does not name azureuser", "step=access"),
    ),
    Case(
        "what depends on the address is a warning",
        tree=sshd("Match Address 10.0.0.0/8", "  PubkeyAuthentication no", "Match all", "DenyUsers azureuser"),
        changes=provisioned(),
        says=("warning: no way to log in: sshd's DenyUsers names azureuser",),
    ),
    Case(
        "useradd was cut off after passwd",
        tree=image(
            WHOLE,
            "",
            GROUPED,
            **{"etc/gshadow": File("root:*::\n", 0o640), "etc/subuid": File("bob:4294000000:65536\n")},
        ),
        changes={
            **HALF,
            "etc/gshadow": File("root:*::\nazureuser:!::\n", 0o640),
            "etc/subuid": File("bob:4294000000:65536\nazureuser:4294065536:65536\n"),
        },
        commands=(VISUDO,),
        says=("/etc/shadow had no entry for azureuser", "/etc/group had no entry for azureuser"),
        everywhere=True,
    ),
    Case(
        "locks and files that useradd left when the power went",
        tree={
            **image(WHOLE, "azureuser:!:19000:0:99999:7:::\n"),
            "etc/passwd.lock": File("1"),
            "etc/shadow+": File("x"),
            "etc/group.4711": File("4711"),
            "etc/group.sav": File("the owner's"),
        },
        changes={**provisioned(), "etc/passwd.lock": None, "etc/shadow+": None, "etc/group.4711": None},
        commands=(VISUDO,),
    ),
    Case(
        "the mark of a begun account: the home, its files and gshadow are completed",
        tree={
            **image(WHOLE, "azureuser:!:19000:0:99999:7:::\n"),
            "etc/.azure-provisioning-begun": File(""),
            "etc/gshadow": File("root:*::\nsudo:*::bob\nazureuser:!::\n", 0o640),
            "etc/login.defs": File("UMASK 022\nHOME_MODE 0750\n"),
            "etc/skel/.bashrc": File("whole\n"),
            "etc/skel/.profile": File("whole\n"),
            "etc/skel/.config": Folder(),
            "etc/skel/.config/rc": File("whole\n", 0o600),
            "home/azureuser/.bashrc": File(""),
            "home/azureuser/.profile": File("the owner's\n"),
        },
        changes={
            **provisioned(),
            "etc/.azure-provisioning-begun": None,
            "etc/gshadow": File("root:*::\nsudo:*::bob,azureuser\nazureuser:!::\n", 0o640),
            "home/azureuser/.bashrc": File("whole\n"),
            "home/azureuser/.config/rc": File("whole\n", 0o600),
        },
        commands=(VISUDO,),
        everywhere=True,
    ),
    Case(
        "an account of the image's own keeps its empty files and its home's mode",
        tree={
            **image(WHOLE, "azureuser:!:19000:0:99999:7:::\n"),
            "etc/skel/.bashrc": File("whole\n"),
            "home/azureuser/.bashrc": File(""),
        },
        changes=provisioned(),
        commands=(VISUDO,),
    ),
    Case(
        "without a password none gets too old",
        tree=image(WHOLE, "azureuser:!:19000:0:60:7:30::\n"),
        changes={**provisioned(), "etc/shadow": File(SHADOW + "azureuser:!:19000:0::7:::\n", 0o640)},
        commands=(VISUDO,),
    ),
    Case(
        "a file of sudo's that sorts after ours",
        tree={"etc/sudoers.d/wheel": File("%wheel ALL=(ALL:ALL) ALL\n", 0o440), "etc/sudoers.d/zzzz.off": File("")},
        changes={
            **{path: node for path, node in provisioned().items() if path != SUDOERS},
            "etc/sudoers.d/zz-90-azure-provisioning": sudoers("azureuser"),
        },
    ),
    Case(
        "sudoers has a rule behind its include",
        tree={"etc/sudoers": File("Defaults env_reset\n@includedir /etc/sudoers.d\n%sudo ALL=(ALL:ALL) ALL\n", 0o440)},
        changes={
            **provisioned(),
            "etc/sudoers": File(
                "Defaults env_reset\n@includedir /etc/sudoers.d\n%sudo ALL=(ALL:ALL) ALL\n"
                "# azure-provisioning begins\n"
                "#include /etc/sudoers.d/90-azure-provisioning\n# azure-provisioning ends\n",
                0o440,
            ),
        },
        commands=(USERADD, VISUDO, VISUDO),
        everywhere=True,
    ),
    Case(
        "sudoers as Debian has it: nothing to ask visudo",
        tree={
            "etc/sudoers": File(
                "Defaults env_reset\nroot\tALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
                0o440,
            )
        },
        changes=provisioned(),
        commands=(USERADD,),
    ),
    Case(
        "sudoers with a rule for somebody: visudo is asked",
        tree={
            "etc/sudoers": File(
                "Defaults env_reset\nbackup ALL=(root) NOPASSWD: /usr/bin/rsync\n@includedir /etc/sudoers.d\n", 0o440
            )
        },
        changes=provisioned(),
    ),
    Case(
        "sshd_config keeps its mode",
        tree={"etc/ssh/sshd_config": File("UsePAM yes\n", 0o600), DROP_IN: None},
        changes={
            **provisioned(),
            "etc/ssh/sshd_config": File(
                "# azure-provisioning begins\n"
                + CLOSED.text.partition("first.\n")[2]
                + "# azure-provisioning ends\nUsePAM yes\n",
                0o600,
            ),
        },
        commands=(USERADD, VISUDO, SSHD),
    ),
    Case(
        "only a comment of nsswitch.conf says myhostname",
        tree={"etc/nsswitch.conf": File("hosts: files dns # not myhostname\n")},
        changes=provisioned(),
    ),
    Case(
        "a pre-provisioned VM is refused by name",
        machine=imds(**{"extended.compute.ppsType": "Running"}),
        exit=1,
        commands=(),
        changes=begun(),
        report=failed(
            "pre-provisioned VMs are not supported",
            "ppsType=Running",
            vm=imds(**{"extended.compute.ppsType": "Running"}),
        ),
    ),
    Case(
        "a hook whose name is no UTF-8 fails: the report is",
        tree={"etc/azure-provisioning.d/10-caf\udce9": File("#!/bin/sh\nexit 3\n", 0o755)},
        exit=1,
        changes={**begun(), **named(), **account("azureuser", KEY)},
        report=failed("hook 10-cafWHAT failed", "step=hooks", "exit=3"),
        verdict="Provisioning failed: hook 10-caf\ufffd failed",
    ),
]
