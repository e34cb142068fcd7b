"""The admin user: names, groups, what the image has already, sudo and doas."""

from tests.contract.case import (
    KEY,
    SUDOERS,
    USERADD,
    VISUDO,
    Case,
    File,
    Folder,
    account,
    begun,
    failed,
    imds,
    machine,
    named,
    provisioned,
    stamps,
    sudoers,
)

BAD_USER = "invalid IMDS metadata for key=compute.osProfile.adminUsername"
PASSWD = "root:x:0:0:root:/root:/bin/bash\n"
GROUP = "root:x:0:\nadm:x:4:\nsudo:x:27:\n"
SHADOW = "root:*:19000:0:99999:7:::\n"


def refused(name: str, value: str) -> Case:
    vm = imds(compute__osProfile__adminUsername=value)
    shown = value.replace("\n", " ").replace("\x9b", " ")
    return Case(
        name,
        machine=vm,
        exit=1,
        commands=(),
        changes=begun(),
        report=failed(BAD_USER, f"value={shown}", vm=vm),
    )


def useradd(user: str, *more: str) -> str:
    return " ".join(("useradd --prefix ROOT --create-home --shell /bin/bash --groups sudo,adm", *more, user))


CASES = [
    Case(
        "no user name: users and keys are skipped",
        machine=imds(compute__osProfile__adminUsername=""),
        changes={**stamps(machine()), **named()},
        commands=(),
        everywhere=True,
    ),
    refused("a user name that is a command", "$(id)"),
    refused("a user name with a newline", "a\nb"),
    refused("a user name that steers terminals", "a\x9b31m"),
    refused("a user name with quotes and blanks", "a 'b' \"c\""),
    refused("a user name that looks like an option", "--root"),
    refused("a user name with a colon", "a:b"),
    refused("a user name with a slash", "../etc"),
    refused("a user name of 33 characters", "a" * 33),
    refused("a user name that begins with a digit", "1st"),
    Case(
        "a user name of 32 characters",
        machine=machine(admin_username="a" * 32),
        changes=provisioned(machine(admin_username="a" * 32), user="a" * 32),
        commands=(useradd("a" * 32), VISUDO),
    ),
    Case(
        "a user name in capitals is quoted for sudo",
        machine=machine(admin_username="ADMIN"),
        changes={**provisioned(user="ADMIN"), SUDOERS: sudoers('"ADMIN"')},
        commands=(useradd("ADMIN"), VISUDO),
    ),
    Case(
        "the image has the user: it is used, and joins the groups",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/sh\n"),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:\nazureuser:x:1000:\n"),
            "etc/shadow": File(SHADOW + "azureuser:!:19000:0:99999:7:::\n", 0o640),
            "home/azureuser/.profile": File("mine\n"),
        },
        changes=provisioned(),
        commands=("usermod --prefix ROOT -a -G sudo azureuser", VISUDO),
        everywhere=True,
    ),
    Case(
        "the image has the user with a password: it is locked",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/sh\n"),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
            "etc/shadow": File(SHADOW + "azureuser:$6$x$y:19000:0:99999:7:::\n", 0o640),
            "home/azureuser": Folder(0o700),
        },
        changes={
            **provisioned(),
            "etc/shadow": File(SHADOW + "azureuser:!$6$x$y:19000:0:99999:7:::\n", 0o640),
        },
        commands=(VISUDO, "usermod --prefix ROOT -L azureuser"),
    ),
    Case(
        "the image has the user, but not the home",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/sh\n"),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
            "etc/shadow": File(SHADOW + "azureuser:!:19000:0:99999:7:::\n", 0o640),
        },
        changes=provisioned(),
        commands=(VISUDO,),
        says=("home made anew",),
    ),
    Case(
        "the image has a group of the user's name",
        tree={"etc/group": File(GROUP + "azureuser:x:1000:\n")},
        changes=provisioned(),
        commands=(useradd("azureuser", "--gid azureuser"), VISUDO),
    ),
    Case(
        "wheel instead of sudo, no adm",
        tree={"etc/group": File("root:x:0:\nwheel:x:10:\n")},
        changes=provisioned(),
        commands=(USERADD.replace("sudo,adm", "wheel"), VISUDO),
    ),
    Case(
        "no group of interest, no bash",
        tree={"etc/group": File("root:x:0:\n"), "bin/bash": None},
        changes=provisioned(),
        commands=("useradd --prefix ROOT --create-home --shell /bin/sh azureuser", VISUDO),
    ),
    Case(
        "useradd fails",
        environment={"FAKE_USERADD_FAILS": "1"},
        exit=1,
        changes={**begun(), **named()},
        commands=(USERADD,),
        report=failed(
            "failure in step user",
            "step=user",
            "error=useradd: exit 1: useradd: cannot lock /etc/passwd; try again later.",
        ),
    ),
    Case(
        "visudo refuses: sudo stays as it was",
        environment={"FAKE_VISUDO_FAILS": "1"},
        exit=1,
        changes={**begun(), **named()},
        report=failed("failure in step sudo", "step=sudo", "error=visudo: exit 1: FILE:1: syntax error"),
    ),
    Case(
        "neither sudo nor doas",
        tree={"etc/sudoers.d": None, "usr/bin/sudo": None},
        changes={path: node for path, node in provisioned().items() if path != SUDOERS},
        commands=(USERADD,),
        says=("warning: neither sudo nor doas is there: azureuser cannot become root",),
    ),
    Case(
        "doas with a folder of rules",
        tree={
            "etc/sudoers.d": None,
            "usr/bin/sudo": None,
            "usr/bin/doas": File("a program that reads /etc/doas.d\n", 0o755),
            "etc/doas.d": Folder(),
        },
        changes={
            **{path: node for path, node in provisioned().items() if path != SUDOERS},
            "etc/doas.d/90-azure-provisioning.conf": File("permit nopass azureuser\n", 0o400),
        },
        commands=(USERADD,),
    ),
    Case(
        "doas with one file of the owner's",
        tree={
            "etc/sudoers.d": None,
            "usr/bin/sudo": None,
            "usr/bin/doas": File("", 0o755),
            "etc/doas.conf": File("permit persist :wheel", 0o400),
        },
        changes={
            **{path: node for path, node in provisioned().items() if path != SUDOERS},
            "etc/doas.conf": File(
                "permit persist :wheel\n# azure-provisioning begins\npermit nopass azureuser\n"
                "# azure-provisioning ends\n",
                0o400,
            ),
        },
        commands=(USERADD,),
    ),
    Case(
        "no visudo: the rule is a fixed text",
        without=("visudo",),
        changes=provisioned(),
        commands=(USERADD,),
    ),
    Case(
        "busybox: adduser where there is no useradd",
        without=("useradd", "usermod", "visudo"),
        environment={"TOOLS": "adduser addgroup chroot"},
        tree={"bin/bash": None},
        changes={**stamps(machine()), **named(), **account("azureuser", KEY)},
        commands=(
            "chroot ROOT adduser -D -s /bin/sh azureuser",
            "chroot ROOT addgroup azureuser sudo",
            "chroot ROOT addgroup azureuser adm",
        ),
    ),
    Case(
        "busybox: the image has a group of the user's name",
        without=("useradd", "usermod", "visudo"),
        environment={"TOOLS": "adduser addgroup chroot"},
        tree={"bin/bash": None, "etc/group": File("root:x:0:\nazureuser:x:1000:\n")},
        changes={**stamps(machine()), **named(), **account("azureuser", KEY)},
        commands=("chroot ROOT adduser -D -s /bin/sh -G azureuser azureuser",),
    ),
    Case(
        "busybox: the image has the user, as after a power cut in the first boot",
        without=("useradd", "usermod", "visudo"),
        environment={"TOOLS": "adduser addgroup chroot"},
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/sh\n"),
            "etc/shadow": File(SHADOW + "azureuser:!:19000:0:99999:7:::\n", 0o640),
            "etc/group": File("root:x:0:\nadm:x:4:\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
            "home/azureuser": Folder(),
        },
        changes={
            **stamps(machine()),
            **named(),
            **account("azureuser", KEY),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
        },
        commands=("chroot ROOT addgroup azureuser adm",),
    ),
    Case(
        "a home that a power cut left open to all gets the mode of a new one, without a word",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/bash\n"),
            "etc/shadow": File(SHADOW, 0o640),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
            "etc/gshadow": File("azureuser:!::\n", 0o640),
            "etc/login.defs": File("HOME_MODE 0700\n"),
            "home/azureuser": Folder(0o777),
            "etc/azure-provisioning.d/10-mode": File(
                '#!/bin/sh\n[ "$(stat -c %a "$AZURE_ROOT/home/azureuser")" = 700 ]\n', 0o755
            ),
        },
        changes=provisioned(),
        commands=(VISUDO,),
    ),
    Case(
        "a missing home is its user's, whatever group was looked for in /usr/lib/group before",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/bash\n"),
            "etc/shadow": File(SHADOW + "azureuser:!:19000:0:99999:7:::\n", 0o640),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nazureuser:x:1000:\n"),
            "usr/lib/group": File("wheel:x:870:\n"),
        },
        settings="GROUPS=adm,bob\n",
        changes=provisioned(),
        commands=(VISUDO,),
        says=("warning: the image has no group bob\nuser: azureuser exists, home made anew, uid 1000, groups adm",),
    ),
    Case(
        "account files whose last line does not end",
        tree={
            "etc/passwd": File(PASSWD + "azureuser:x:1000:1000::/home/azureuser:/bin/sh"),
            "etc/shadow": File(SHADOW + "azureuser:$6$x$y:19000:0:99999:7:::", 0o640),
            "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser"),
            "home/azureuser": Folder(0o700),
        },
        changes=provisioned(),
        commands=(VISUDO, "usermod --prefix ROOT -L azureuser"),
    ),
    Case(
        "nothing that makes a user",
        without=("useradd", "usermod"),
        exit=1,
        changes={**begun(), **named()},
        commands=(),
        report=failed("failure in step user", "step=user", "error=neither useradd nor adduser is there"),
    ),
]
