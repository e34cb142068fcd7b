"""Passwords and sshd's policy."""

from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    CLOSED,
    DROP_IN,
    HOST_KEY,
    OPEN,
    SSHD,
    STATE,
    USERADD,
    VISUDO,
    Case,
    File,
    Folder,
    begun,
    failed,
    imds,
    machine,
    provisioned,
)

SHADOW = "root:*:19000:0:99999:7:::\n"


def redacted(vm: Machine) -> dict[str, File]:
    text = ovf_env(vm)
    if vm.admin_password:
        escaped = text.split("<UserPassword>")[1].split("</UserPassword>")[0]
        text = text.replace(f">{escaped}<", ">REDACTED<")
    return {f"{STATE}/ovf-env.xml": File(text, 0o600)}


def with_password(name: str, password: str, **more: object) -> Case:
    vm = machine(admin_password=password, disable_password_authentication=False)
    size = len(password.encode())
    usual: dict[str, object] = {
        "machine": vm,
        "medium": ovf_env(vm),
        "changes": {
            **provisioned(),
            **redacted(vm),
            DROP_IN: OPEN,
            "etc/shadow": File(f"{SHADOW}azureuser:hashed-by-policy-{size}:19000:0:99999:7:::\n", 0o640),
        },
        "commands": (USERADD, VISUDO, "chpasswd --root ROOT", SSHD),
        "secret": password,
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


def policy(name: str, value: object, wanted: str) -> Case:
    """What IMDS says of passwords, and what sshd is told: only a plain "false" opens it."""
    changes = provisioned()
    if wanted == "yes":
        changes[DROP_IN] = OPEN
    return Case(
        name,
        machine=imds(compute__osProfile__disablePasswordAuthentication=value),
        settings="MEDIUM_WAIT=0\n",
        changes=changes,
        commands=(USERADD, VISUDO, *((SSHD,) if wanted == "yes" else ())),
    )


def sshd_config(name: str, before: str, after: str | None, **more: object) -> Case:
    """An image whose sshd allows passwords, in one way or another."""
    changes = {**provisioned(), **({"etc/ssh/sshd_config": File(after)} if after is not None else {DROP_IN: CLOSED})}
    usual: dict[str, object] = {
        "tree": {"etc/ssh/sshd_config": File(before), DROP_IN: None},
        "changes": changes,
        "commands": (USERADD, VISUDO, SSHD),
    }
    return Case(name, **{**usual, **more})  # type: ignore[arg-type]


BUSYBOX_USER = (
    "chroot ROOT adduser -D -s /bin/sh azureuser",
    "chroot ROOT addgroup azureuser sudo",
    "chroot ROOT addgroup azureuser adm",
)
OURS = (
    "# azure-provisioning begins\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    "ChallengeResponseAuthentication no\n# azure-provisioning ends\n"
)

CASES = [
    with_password("a password from the medium", "Tr0ub4dor&3 <x>", everywhere=True),
    with_password("a password with quotes, dollars and backslashes", "a'b\"c$(id)`id`\\n%s*"),
    with_password("a password with blanks at its ends and a colon", " p:w "),
    with_password("a password in UTF-8", "pässwörd€"),
    with_password("a password of 72 characters", "x" * 72),
    with_password("a password of 72 characters and more bytes", "ä€" * 36),
    *(
        Case(
            f"a password of {len(password)} characters is refused",
            medium=ovf_env(machine(admin_password=password, disable_password_authentication=False)),
            exit=1,
            commands=(),
            changes=begun(),
            secret=password,
            report=failed("unexpected metadata parsing ovf-env.xml: UserPassword"),
        )
        for password in ("ä" * 73, "x" * 600)
    ),
    Case(
        "a password with a line end is refused",
        machine=machine(disable_password_authentication=False),
        medium=ovf_env(machine(admin_password="a\nb", disable_password_authentication=False)),
        exit=1,
        commands=(),
        changes=begun(),
        report=failed("unexpected metadata parsing ovf-env.xml: UserPassword"),
    ),
    Case(
        "chpasswd fails, with and without a hash of ours",
        machine=machine(admin_password="secret-one", disable_password_authentication=False),
        medium=ovf_env(machine(admin_password="secret-one", disable_password_authentication=False)),
        environment={"FAKE_CHPASSWD_CANNOT_HASH": "1"},
        secret="secret-one",
        changes={
            **provisioned(),
            **redacted(machine(admin_password="secret-one", disable_password_authentication=False)),
            DROP_IN: OPEN,
        },
        commands=(USERADD, VISUDO, "chpasswd --root ROOT", "chpasswd --root ROOT -e", SSHD),
        says=("warning: chpasswd: exit 1; trying with a hash of ours",),
    ),
    policy("policy true", "true", "no"),
    policy("policy True", "True", "no"),
    policy("policy false", "false", "yes"),
    policy("policy FALSE", "FALSE", "yes"),
    policy("policy empty: passwords stay off", "", "no"),
    policy("policy of JSON true", True, "no"),
    policy("policy of JSON false", False, "yes"),
    policy("policy 0 is not a plain false", "0", "no"),
    sshd_config(
        "drop-ins: ours comes first",
        "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nPasswordAuthentication yes\n",
        None,
    ),
    sshd_config("drop-ins by a relative pattern", "include sshd_config.d/*.conf\nUsePAM yes\n", None),
    sshd_config(
        "no drop-ins: the main file",
        "UsePAM yes\nPasswordAuthentication yes\n",
        OURS + "UsePAM yes\nPasswordAuthentication yes\n",
        everywhere=True,
    ),
    sshd_config(
        "drop-ins only within a Match block",
        "UsePAM yes\nMatch User x\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        OURS + "UsePAM yes\nMatch User x\nInclude /etc/ssh/sshd_config.d/*.conf\n",
    ),
    sshd_config(
        "drop-ins only within a Match block that says of nobody what it is about",
        "UsePAM yes\nMatch\r\n\tInclude /etc/ssh/sshd_config.d/*.conf\n",
        OURS + "UsePAM yes\nMatch\r\n\tInclude /etc/ssh/sshd_config.d/*.conf\n",
    ),
    sshd_config(
        "drop-ins only within a Match block in quotes",
        'UsePAM yes\n"match" User x\nInclude /etc/ssh/sshd_config.d/*.conf\n',
        OURS + 'UsePAM yes\n"match" User x\nInclude /etc/ssh/sshd_config.d/*.conf\n',
    ),
    sshd_config(
        "a Match block about nearly all users is not about everybody",
        "UsePAM yes\nMatch User !root,*\nPasswordAuthentication yes\n",
        OURS + "UsePAM yes\nMatch User !root,*\nPasswordAuthentication yes\n",
    ),
    sshd_config(
        "an earlier edit of ours is replaced",
        OURS.replace(" no", " yes") + "UsePAM yes\n",
        OURS + "UsePAM yes\n",
    ),
    sshd_config(
        "a Match block does not count",
        "UsePAM yes\nMatch all\nPasswordAuthentication no\n",
        OURS + "UsePAM yes\nMatch all\nPasswordAuthentication no\n",
    ),
    Case(
        "sshd refuses: undone, and reported",
        tree={"etc/ssh/sshd_config": File("UsePAM yes\n"), DROP_IN: None, "etc/ssh/broken": File("")},
        environment={"FAKE_SSHD_HATES": "PasswordAuthentication"},
        exit=1,
        commands=(USERADD, VISUDO, SSHD, SSHD),
        changes={path: node for path, node in provisioned().items() if not path.startswith(STATE) and node is not None},
        report=failed(
            "failure in step sshd",
            "step=sshd",
            "error=sshd: exit 255: ROOT/etc/ssh/sshd_config: terminating, 1 bad configuration options",
        ),
    ),
    Case(
        "sshd refused before as well: kept, and said",
        tree={"etc/ssh/sshd_config": File("UsePAM yes\nbroken\n"), DROP_IN: None},
        commands=(USERADD, VISUDO, SSHD, SSHD),
        changes={**provisioned(), "etc/ssh/sshd_config": File(OURS + "UsePAM yes\nbroken\n")},
        says=("(it said so before as well)",),
    ),
    Case(
        "without PAM a lock is a star",
        tree={"etc/ssh/sshd_config": File("Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\n")},
        changes={**provisioned(), "etc/shadow": File(f"{SHADOW}azureuser:*:19000:0:99999:7:::\n", 0o640)},
        commands=(USERADD, VISUDO, "usermod --prefix ROOT -p * azureuser"),
    ),
    Case(
        "busybox: without PAM a lock is a star",
        tree={"etc/ssh/sshd_config": File("Include /etc/ssh/sshd_config.d/*.conf\n"), "bin/bash": None},
        without=("useradd", "usermod", "visudo"),
        environment={"TOOLS": "adduser addgroup chroot"},
        changes={**provisioned(), "etc/shadow": File(f"{SHADOW}azureuser:*:19000:0:99999:7:::\n", 0o640)},
        commands=(*BUSYBOX_USER, "chpasswd --root ROOT -e"),
        everywhere=True,
    ),
    with_password(
        "busybox: a password is never hashed with DES",
        "Tr0ub4dor&3",
        tree={"bin/bash": None},
        without=("useradd", "usermod", "visudo"),
        environment={"TOOLS": "adduser addgroup chroot"},
        commands=(*BUSYBOX_USER, "chpasswd --root ROOT -c sha512", SSHD),
    ),
    Case(
        "host keys are made when one is missing",
        tree={"etc/ssh/ssh_host_rsa_key": None, "etc/ssh/ssh_host_ed25519_key": None},
        changes={
            **provisioned(),
            "etc/ssh/ssh_host_rsa_key": HOST_KEY,
            "etc/ssh/ssh_host_ed25519_key": HOST_KEY,
        },
        commands=(USERADD, VISUDO, "ssh-keygen -A -f ROOT"),
    ),
    Case(
        "host keys are left to their own unit",
        tree={
            "etc/ssh/ssh_host_rsa_key": None,
            "run/systemd/system": Folder(),
            "etc/systemd/system/multi-user.target.wants/azure-provisioning-hostkeys.service": File(""),
        },
        changes=provisioned(),
        says=("host-keys: left to azure-provisioning-hostkeys.service",),
    ),
]
