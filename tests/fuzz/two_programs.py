"""provision.py and provision.sh on the same random image, machine and medium: what they leave and say must be one.

An input is a whole case of the contract: sshd's files, keys, accounts, sudoers, hosts, settings, IMDS's values and the
medium's document, each made of what images and owners really have, and of what breaks readers.
"""

import base64
import difflib
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from azready.fabric import Fabric
from azready.fabric.machine import Machine
from azready.fabric.protocol.messages import Rules
from tests.contract.case import KEY, OTHER_KEY, RSA_BODY, Case, File, Folder, Node
from tests.contract.lab import Outcome, carry_out
from tests.contract.programs import Program, reference_python, reference_shell

ED, OTHER = KEY.rsplit(" ", 1)[0], OTHER_KEY.rsplit(" ", 1)[0]
AZURE = "http://schemas.microsoft.com/windowsazure"


@dataclass(frozen=True)
class Dice:
    """Choices by a seed."""

    random: random.Random

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def often(self, chance: float) -> bool:
        return self.random.random() < chance

    def lines(self, most: int, choices: Sequence[str]) -> str:
        """Up to `most` lines; the last may lack its end."""
        count = self.random.randint(0, most)
        return "\n".join(self.random.choice(choices) for _ in range(count)) + self.one("\n", "\n", "")


SSHD_VALUES = {
    "AuthorizedKeysFile": (
        *(".ssh/authorized_keys", "%h/.ssh/ak", ".ssh/ak2 .ssh/authorized_keys", "none", "/etc/ssh/keys/%u", "%h/%u.k"),
        *("/srv/k/%u/ak", '".ssh/q"', "/etc/ssh/%%/%u", ".ssh/%U", '".ssh/my keys"', "%h/.ssh/../x", "'.ssh/s'"),
    ),
    "UsePAM": ("yes", "no"),
    "Include": (
        *("/etc/ssh/sshd_config.d/*.conf", "sshd_config.d/*.conf", "/etc/ssh/extra.conf", "/etc/ssh/nope*"),
        *("sshd_config.d/*.conf /etc/ssh/extra.conf", '"/etc/ssh/extra.conf"', "/etc/ssh/x?.conf"),
        *("/etc/ssh/*/[0-9]*.conf", "/etc/ssh/sshd_config.d/[!0]*.conf", "/etc/ssh/sshd_config.d/*"),
    ),
    "Match": (
        *("User bob", "all", "Address 10.0.0.0/8", "User azureuser", "User azure*,!azureuser", "User !root,*"),
        *("Group sudo", "Group sudo,wheel", "User=azureuser", "user azureuser group adm", "Host *.example"),
    ),
    "Port": ("22",),
    "AllowUsers": ("azureuser", "bob", "azure*", "azureuser@10.0.0.1 bob", "!azureuser *"),
    "DenyUsers": ("bob", "azure?ser", "azureuser@10.*"),
    "AllowGroups": ("sudo", "wheel", "s[tu]do", "adm nobody"),
    "DenyGroups": ("bob", "sudo", "a*"),
    "AuthenticationMethods": ("any", "publickey", "publickey,password", "password publickey", "publickey:x"),
    "PubkeyAcceptedAlgorithms": ("ssh-rsa", "+ssh-rsa", "ssh-ed25519,rsa-sha2-512", "rsa-sha2-*", "-ssh-dss"),
    "PidFile": ("none", "/run/x.pid"),
    "ForceCommand": ("none", "/bin/true"),
    "StrictModes": ("yes", "no"),
    "X11Forwarding": ("yes",),
    "Banner": ('"/etc/issue net"', "none"),
    "HostKey": ("/etc/ssh/ssh_host_rsa_key", "/etc/ssh/k/host", "none", "etc/x_rsa"),
    "ListenAddress": ("127.0.0.1", "::1", "[::1]:22", "0.0.0.0", "localhost:2222"),
    "MaxAuthTries": ("0", "3"),
    "RequiredRSASize": ("1024", "2048", "4096", "x"),
    "RevokedKeys": ("none", "/etc/ssh/revoked"),
}
SSHD_YES_NO = (
    *("PasswordAuthentication", "passwordauthentication", "PASSWORDAUTHENTICATION", "#PasswordAuthentication"),
    *("KbdInteractiveAuthentication", "ChallengeResponseAuthentication", "PubkeyAuthentication", "DSAAuthentication"),
)


def sshd_line(dice: Dice) -> str:
    if dice.often(0.15):
        return str(dice.one("", "# x", "   ", "=", "\t#\t", '"', "Match", "Include", "\ufeff# bom"))
    keyword = dice.one(*SSHD_VALUES, *SSHD_YES_NO, *SSHD_YES_NO, "AuthorizedKeysFile", "Match", "Include")
    value = dice.one(*SSHD_VALUES.get(keyword, ("yes", "no", "YES", "No", "yes # c", '"no"', "no no", "maybe")))
    start, between, end = dice.one("", "", "  ", "\t"), dice.one(" ", "  ", "\t", "=", " = "), dice.one("", " ", "\r")
    return f"{start}{keyword}{between}{value}{end}"


def sshd_file(dice: Dice, most: int) -> File:
    return File(dice.lines(most, [sshd_line(dice) for _ in range(most)] or [""]), dice.one(0o644, 0o600))


def sshd_files(dice: Dice) -> dict[str, Node | None]:
    files: dict[str, Node | None] = {"etc/ssh/sshd_config": sshd_file(dice, 8)}
    for name, chance in (
        ("sshd_config.d/50-a.conf", 0.5),
        ("sshd_config.d/00-0.conf", 0.2),
        ("extra.conf", 0.4),
        ("x1.conf", 0.2),
        ("conf/7.conf", 0.2),
    ):
        if dice.often(chance):
            files[f"etc/ssh/{name}"] = sshd_file(dice, 4)
    if dice.often(0.5):
        files["etc/ssh/sshd_config.d/00-azure-provisioning.conf"] = None
    if dice.often(0.05):
        files["etc/ssh/sshd_config"] = None
        files["usr/etc/ssh/sshd_config"] = sshd_file(dice, 4)
    return files


KEYS = (
    *(f"{ED} a@b", f"{OTHER} c d", f"{ED}\r\n", f"{ED[:40]}\r\n{ED[40:]} x", f"\r\n{OTHER}", f"{ED} a\n{OTHER} b"),
    *(f"{ED}\n\n{OTHER}", "", f"  {ED}", "ssh-rsa AAAA", "ssh-dss AAAA x", "-----BEGIN X", "junk", f"{OTHER}=="),
    *(ED.replace(" ", "\t"), f"{ED}\tcomment", f"{ED} ü✓", f"{ED} a\x01b", f"ssh-rsa {RSA_BODY} r", f"\ufeff{ED}"),
    *(f'from="10.0.0.0/8",no-pty {ED} o', f'command="echo \\"x\\" y" {OTHER}', f"{OTHER} {ED}", f"cert-authority {ED}"),
    *(f"{ED} \u2028 line", f"\u00a0{ED}", f"ssh-rsa {RSA_BODY[:40]}", f"# {ED}", f"{ED[:-3]}", f"{ED} |x=y|"),
)


def keys(dice: Dice) -> list[str]:
    return [dice.one(*KEYS) for _ in range(dice.one(0, 1, 1, 1, 2, 3))]


LOGIN_DEFS = (
    *("UID_MIN 1000\n", "UID_MIN\t\t 500\n", "# UID_MIN 5\n", "UID_MIN x\n"),
    *("HOME_MODE 0777\n", "UMASK 002\n", "UMASK 0\n", "HOME_MODE 0\nUMASK 022\n", "HOME_MODE 0750\nUMASK 0\n"),
)


def accounts(dice: Dice) -> dict[str, Node | None]:
    """The account files: with or without the admin, whole or cut, as people have edited them."""
    people = ["root:x:0:0:root:/root:/bin/bash", "svc:x:211:211::/var/lib/svc:/usr/sbin/nologin"]
    groups = ["root:x:0:", dice.one("adm:x:4:", "adm:x:4:azureuser"), dice.one("sudo:x:27:", "sudo:x:27:azureuser,bob")]
    shadow = ["root:*:19000:0:99999:7:::"]
    more: dict[str, Node | None] = {}
    if dice.often(0.5):
        uid = dice.one(1000, 1000, 1000, 1001, 999, 65534)
        home = dice.one(
            "/home/azureuser", "/home/azureuser", "/srv/azureuser", "/home", "/", "", "/root/x", "/home/a b"
        )
        shell = dice.one("/bin/bash", "/bin/bash", "/bin/sh", "", "/usr/sbin/nologin", "/bin/false")
        people.append(f"azureuser:x:{uid}:1000:A,,,:{home}:{shell}")
        if dice.often(0.8):
            last = dice.one(
                "19000:0:99999:7:::", "19000:0:60:7:30::", "0:0:99999:7:::", "19000:0:99999:7::1:", "19000::::::"
            )
            shadow.append(f"azureuser:{dice.one('!', '*', '$6$a$b', '', '!!', '!$6$a$b')}:{last}")
        if dice.often(0.8):
            groups.append("azureuser:x:1000:")
    if dice.often(0.2):
        groups.append(dice.one("wheel:x:10:", "azureuser:x:1234:", "bob:x:7:azureuser", "wheel:x:10:bob,azureuser"))
    if dice.often(0.1):
        people.append(dice.one("bob:x:1002:1002::/home/azureuser:/bin/sh", "", "broken", "+::::::"))
    if dice.often(0.3):
        more["etc/gshadow"] = File("root:*::\nsudo:*::bob\n", 0o640)
    if dice.often(0.2):
        more["etc/subuid"] = File(
            dice.one("", "bob:100000:65536\n", "bob:100000:65536\nx:y:z\n", "bob:4294000000:65536\n")
        )
    if dice.often(0.2):
        more[f"etc/{dice.one('passwd', 'shadow', 'group')}.lock"] = File(dice.one("1", "999999", "", "x\n"), 0o600)
    if dice.often(0.2):
        more["etc/login.defs"] = File(dice.one(*LOGIN_DEFS))
    if dice.often(0.1):
        more["usr/lib/group"] = File("wheel:x:870:\nsystemd-journal:x:871:\n")
    if dice.often(0.1):
        more["etc/skel/.profile"] = File(dice.one("# hi\n", "exit\n"))
    end = dice.one("\n", "\n", "\n", "")
    return {
        "etc/passwd": File("\n".join(people) + end),
        "etc/group": File("\n".join(groups) + end),
        "etc/shadow": File("\n".join(shadow) + end, 0o640),
        **more,
    }


DEFAULTS = (
    *("# theirs", "Defaults requiretty", "Defaults\tuse_pty, !requiretty # x", "Defaults:bob requiretty", "Defaults"),
    *(
        "Defaults:azureuser  runas_default = bob",
        'Defaults secure_path="/nowhere:/usr/bin"',
        "Defaults secure_path=/bin",
    ),
    *("  Defaults secure_path=/nowhere,runcwd=/etc", "Defaults runcwd=/gone, runchroot=*", "Defaults@host requiretty"),
)


def sudo_files(dice: Dice) -> dict[str, Node | None]:
    if dice.often(0.1):
        doas: dict[str, Node | None] = {"usr/bin/sudo": None, "etc/sudoers.d": None}
        if dice.often(0.8):
            doas["usr/bin/doas"] = File(dice.one("", "a program that reads /etc/doas.d\n"), 0o4755)
            doas |= dice.one({}, {"etc/doas.conf": File("permit :wheel")}, {"etc/doas.d/z.conf": File("deny bob\n")})
        return doas
    files: dict[str, Node | None] = {}
    main = (
        *(
            "@includedir /etc/sudoers.d",
            "#includedir /etc/sudoers.d",
            "@includedir /etc/sudoers.d/",
            "Defaults env_reset",
        ),
        *("root ALL=(ALL:ALL) ALL", "%sudo ALL=(ALL:ALL) ALL", "# x", "", "User_Alias A = bob", "#include /etc/x"),
        *("  @includedir\t/etc/sudoers.d", "bob ALL=(ALL) ALL\r", "@includedir /etc/other.d"),
        *DEFAULTS,
    )
    if dice.often(0.6):
        files["etc/sudoers"] = File(dice.lines(5, main), dice.one(0o440, 0o440, 0o440, 0o640, 0o666, 0o620))
    for name in (
        "README",
        "wheel",
        "95-x",
        "zz-x",
        "zzzz",
        "90-azure-provisioning.bak",
        "zz-90-azure-provisioning",
        "x~",
        "é",
        "{a",
    ):
        if dice.often(0.08):
            files[f"etc/sudoers.d/{name}"] = File(
                "# theirs\n" if name == "README" else dice.lines(2, DEFAULTS), dice.one(0o440, 0o440, 0o640)
            )
    return files


PAM = (
    *(
        "session required pam_limits.so",
        "session required pam_limits.so a conf=/gone",
        "session required pam_access.so",
    ),
    *("account required pam_wheel.so  group=x", "account required pam_nologin.so file=/etc/shells"),
    *("account required pam_localuser.so file=/etc/passwd", "session optional pam_loginuid.so require_auditd"),
    *("@include common-account", "account include site", "account substack site", "session include site", "# x", ""),
    *("account required pam_nologin.so", "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so"),
    *("account requisite pam_deny.so", "account required pam_permit.so", "account sufficient pam_localuser.so"),
    *("account required pam_access.so", "auth required pam_access.so", "-account required pam_shells.so # c"),
    *("account [default=bad success=ok] pam_succeed_if.so user ingroup wheel", "account required pam_succeed_if.so"),
    *("session required pam_gone.so", "session optional pam_gone.so", "-session required /opt/pam_gone.so", "account"),
    *(
        "account required pam_time.so",
        "account required pam_listfile.so a\\",
        " item=user",
        "ACCOUNT Required pam_deny.so",
    ),
    *(
        "session [success=ok module_unknown=ignore default=bad] pam_gone.so",
        "account [ success=1",
        "account [success=ok default=die] pam_listfile.so x\x01y é",
        "#account required pam_deny.so",
    ),
)


def pam_files(dice: Dice) -> dict[str, Node | None]:
    """What PAM and its neighbours say of who gets in."""
    made: dict[str, Node | None] = {}
    if dice.often(0.6):
        return made
    for name in ("pam.d/sshd", "pam.d/sudo", "pam.d/site", "pam.d/common-account", "pam.d/other"):
        if dice.often(0.5):
            made[f"{dice.one('etc', 'etc', 'usr/lib')}/{name}"] = File(dice.lines(5, PAM))
    if dice.often(0.5):
        folder = dice.one("usr/lib64", "lib64", "usr/lib/x86_64-linux-gnu")
        for name in ("unix", "permit", "deny", "nologin", "access", "succeed_if", "limits", "loginuid"):
            made[f"{folder}/security/pam_{name}.so"] = File("\x7fELF")
    made["etc/security/access.conf"] = dice.one(None, File("# -:ALL:ALL\n+:root:ALL\n"), File("-:ALL EXCEPT root:ALL"))
    made["etc/security/time.conf"] = dice.one(None, File("# x\n \n"), File("*;*;*;!Al0000-2400 # no\n"))
    made["etc/security/limits.conf"] = dice.one(None, File("* hard nproc 1\nazureuser - maxlogins 0 # x\n"))
    made["etc/security/limits.d/9.conf"] = dice.one(None, None, File("# x\n*  -\tnproc 0"))
    made["etc/shells"] = dice.one(None, File("/bin/sh\n"), File("# shells\n  /bin/bash \n/bin/sh"))
    made["etc/hosts.deny"] = dice.one(
        None, File("# ALL: ALL\n"), File("sshd, in.ftpd : ALL\nx: ALL\n"), File(" ALL:ALL")
    )
    made["etc/hosts.allow"] = dice.one(None, None, File("# sshd: ALL\n"))
    return made


HOSTS = (
    *("127.0.0.1 localhost", "127.0.1.1 old old.example", "10.0.0.1 web1", "#127.0.1.1 web1", "::1 ip6-localhost", ""),
    *("127.0.1.1\tother # web1", "127.0.0.1 localhost WEB1", "127.0.1.1", " 127.0.1.1 web1.corp web1\r", "x"),
)
NSSWITCH = (
    "hosts: files dns",
    "hosts: files myhostname",
    "hosts: files # myhostname",
    "#hosts: myhostname",
    "passwd: files",
)


def files(dice: Dice) -> dict[str, Node | None]:
    """The image."""
    made = {**accounts(dice), **sudo_files(dice), **sshd_files(dice), **pam_files(dice)}
    if dice.often(0.05):
        made["etc/ssh/sshd_not_to_be_run"] = File("")
    made["etc/hosts"] = dice.one(None, File(dice.lines(4, HOSTS)))
    made["etc/nsswitch.conf"] = dice.one(None, File(dice.lines(2, NSSWITCH)))
    if dice.often(0.3):
        made["etc/hostname"] = File(dice.one("web1\n", "old\n", "web1", ""))
    if dice.often(0.3):
        texts = (f"{OTHER} old\n", "# c\n", f"{ED} z\n", f"restrict {ED}", f"{ED}\r\n", "", f'a="b c" {OTHER} x')
        made["home/azureuser/.ssh/authorized_keys"] = File(dice.one(*texts), dice.one(0o600, 0o644))
    if dice.often(0.1):
        made["home/azureuser"] = Folder(dice.one(0o777, 0o755, 0o700))
    if dice.often(0.2):
        made["var/lib/hyperv"] = Folder()
    if dice.often(0.3):
        made["etc/azure-provisioning.d/10-show"] = File(
            '#!/bin/sh\nprintf "%s\\n" "$AZURE_VM_NAME" "$AZURE_LOCATION" "$AZURE_ADMIN_HOME"\n', dice.one(0o755, 0o644)
        )
    if dice.often(0.1):
        made[f"etc/ssh/ssh_host_{dice.one('rsa', 'ed25519')}_key"] = dice.one(
            None, File("", 0o600), File("-----BEGIN ", 0o600)
        )
    return made


SETTINGS = (
    *(
        "CUSTOM_DATA=save",
        "CUSTOM_DATA=ignore",
        "CUSTOM_DATA = save",
        "#x",
        "KVP=no",
        "KVP=maybe",
        "FOO=1",
        "DEADLINE=0",
    ),
    *(
        "DEADLINE=20",
        "SKIP=grow, hooks",
        "SKIP=nope",
        "REPORT=json",
        "=x",
        "CUSTOM_DATA",
        "  ENTROPY=no  ",
        "ACCESS=warn",
    ),
    *(
        "HOOK_TIMEOUT=1e3",
        "IMDS_WAIT=1",
        "GROUPS=adm,bob",
        "GROUPS=a b",
        "SHELL=/bin/sh",
        "SHELL=sh",
        "SHELL=/bin/none",
    ),
    *("ACCESS=off", "ACCESS=no", "EARLY_REPORT=yes", "GROUPS=", "ENTROPY=no\r", "HOOK_TIMEOUT=08", "é=1", "KVP=no #"),
)

NAMES = (
    *(
        "web1",
        "web1.x",
        "",
        "  web1 ",
        "WEB_1",
        "a" * 70,
        "a" * 60 + ".bcdef",
        "-x",
        "wéb",
        "&amp;",
        "<![CDATA[web1]]>",
    ),
    *("we<!-- c -->b1", "web1\n", "\u00a0web1", "x.", "1", "a..b", "&#119;eb1", "we<?pi x?>b1"),
)
USERS = (
    "azureuser",
    "azureuser",
    "azureuser",
    "root1",
    "",
    "a b",
    "Ab.c-d",
    "2x",
    "x" * 33,
    "svc",
    "root",
    "x" * 32,
    "_a",
)
DATA = (
    "",
    base64.b64encode(b"#!/bin/sh\n").decode(),
    base64.b64encode(bytes(range(256))).decode(),
    base64.b64encode(b"#cloud-config\n").decode(),
    *(
        "!!!",
        "QUJD\n RA==",
        "QUJDRA",
        "QUJDRA===",
        "  QUJD  ",
        "QQ==QQ==",
        "é",
        "QR==",
        "QUJ",
        "Q",
        "====",
        "QUJD\u00a0",
    ),
)
PASSWORDS = (
    "Pa ss:w&amp;d&lt;",
    "x",
    "",
    "' p '",
    "p\ttab",
    "é",
    "a\nb",
    "&#65;",
    "&#10;",
    "x" * 72,
    "x" * 73,
    "a&#x20AC;",
    "\\t",
)
FLAGS = ("true", "false", "True", " false ", "1", "", "no", "FALSE")


def medium(dice: Dice) -> str:
    """ovf-env.xml as somebody might write it."""
    prefix = dice.one("", "wa:", "ns1:")

    def element(name: str, text: str) -> str:
        return f"<{prefix}{name}>{text}</{prefix}{name}>"

    parts = [element("HostName", dice.one(*NAMES)), element("UserName", dice.one(*USERS))]
    if dice.often(0.5):
        parts.append(element("UserPassword", dice.one(*PASSWORDS)))
    if dice.often(0.6):
        parts.append(element("CustomData", dice.one(*DATA)))
    if dice.often(0.6):
        parts.append(element("DisableSshPasswordAuthentication", dice.one(*FLAGS)))
    if dice.often(0.1):
        parts.append(element("HostName", "two"))
    if dice.often(0.2):
        parts.append("<other xmlns='urn:x'><HostName>evil</HostName></other>")
    if dice.often(0.4):
        value = element("Value", dice.one(*KEYS[:24]).replace("&", "&amp;").replace("\x01", ""))
        parts.append(element("SSH", element("PublicKeys", element("PublicKey", value) * dice.one(1, 1, 2))))
    dice.random.shuffle(parts)
    cut = dice.random.randint(0, len(parts)) if dice.often(0.15) else len(parts)
    bound = f'xmlns="{AZURE}"' if not prefix else f'xmlns:{prefix[:-1]}="{AZURE}"'
    sections = "".join(
        f"<{prefix}ProvisioningSection {bound}>"
        + element("LinuxProvisioningConfigurationSet", "".join(dice.one("", "\n ") + part for part in half))
        + f"</{prefix}ProvisioningSection>"
        for half in (parts[:cut], parts[cut:])
        if half
    )
    if dice.often(0.2):
        sections += (
            f'<PlatformSettingsSection xmlns="{AZURE}"><PlatformSettings>'
            + dice.one(
                "<ProvisionGuestAgent>true</ProvisionGuestAgent>",
                "<PreprovisionedVm>true</PreprovisionedVm>",
                "<PreprovisionedVMType>Running</PreprovisionedVMType>",
                "<PreprovisionedVm>false</PreprovisionedVm>",
            )
            + "</PlatformSettings></PlatformSettingsSection>"
        )
    head = dice.one('<?xml version="1.0" encoding="utf-8"?>', "", "\ufeff", '<?xml version="1.0"?>\n<!-- c -->')
    text = f'{head}<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1">{sections}</Environment>'
    return _damaged(dice, text)


def _damaged(dice: Dice, text: str) -> str:
    match dice.random.randint(0, 30):
        case 0:
            return text[: dice.random.randint(1, len(text))]
        case 1:
            return "\n" + text
        case 2:
            return text + "\0\0"
        case 3:
            return text.replace("?>", "?><!DOCTYPE x>", 1)
        case 4:
            return text + str(dice.one("\n", "<!-- e -->", "x"))
        case 5:
            at = dice.random.randrange(len(text))
            return text[:at] + str(dice.one("<", ">", "&", '"', "]]>", "&#0;", "&#xD800;", "=", "/")) + text[at + 1 :]
    return text


def machine(dice: Dice) -> Machine:
    """What IMDS says; much of it may be empty, or not what it should be."""
    given: dict[str, Any] = {
        "compute.publicKeys": [{"keyData": key, "path": "p"} for key in keys(dice)],
        "compute.location": dice.one("westeurope", "é\n", "a|b", "", 'q"\\', "\u2028", "tab\there"),
    }
    for path, choices in (
        ("compute.osProfile.adminUsername", ("", *USERS)),
        ("compute.osProfile.disablePasswordAuthentication", FLAGS),
        ("compute.osProfile.computerName", ("", "web1", "web1.corp.example", "WEB-1", "x_y", " web1 ")),
        ("compute.name", ("web1", "WEB1", "a" * 70 + ".b", "x_y", "", "vm|1")),
        ("compute.userData", DATA),
        ("compute.publicKeys", (None, "x", [], [{"keyData": 1}], [1, {"keyData": ED}], [{"path": "p"}])),
        ("extended.compute.ppsType", ("None", "", "none", "Running", "x")),
    ):
        if dice.often(0.25):
            given[path] = dice.one(*choices)
    if dice.often(0.3):
        given |= {"compute.osProfile.adminUsername": "", "compute.osProfile.computerName": "", "compute.publicKeys": []}
    return Machine(name="web1", generation=dice.one(1, 2), size="Standard_B2s", imds=tuple(given.items()))


def random_case(seed: int, number: int) -> Case:
    dice = Dice(random.Random(f"{seed}/{number}"))
    document = medium(dice) if dice.often(0.6) else None
    wait = "" if document is not None else "MEDIUM_WAIT=0\n"
    return Case(
        f"seed {seed}, input {number}",
        machine=machine(dice),
        medium=document,
        tree=files(dice),
        settings=wait + dice.lines(3, SETTINGS),
        options=("--deadline", "8"),
    )


def plain(outcome: Outcome) -> Outcome:
    """Without what may differ: times, the program's name and version, and how a parser puts what it refuses."""
    text = re.sub(r"\d+ ms\)", "N ms)", outcome.stderr)
    text = re.sub(r"\d+\.\d\d s", "T s", text).replace("provision.py", "PROGRAM").replace("provision.sh", "PROGRAM")
    lines = [line for line in text.split("\n") if not line.startswith(("azure-provisioning 0", "error: "))]
    report = outcome.report and replace(outcome.report, description=_error(outcome.report.description))
    changes = {path: _neutral(path, node) for path, node in outcome.changes.items()}
    return replace(outcome, stderr="\n".join(lines), report=report, changes=changes)


def _error(text: str) -> str:
    return re.sub(r"\|error=[^|]*", "|error=", text)


def _neutral(path: str, node: Node | None) -> Node | None:
    """The host's record repeats the report, in a field that is filled up with zeros."""
    if path.endswith(".kvp_pool_1") and isinstance(node, File):
        return File(_error(node.text.rstrip("\0")), node.mode)
    return node


def differences(case: Case, programs: Sequence[Program], fabric: Fabric) -> str:
    """What two programs do not do alike; empty when there is nothing."""
    outcomes = []
    for program in programs:
        with tempfile.TemporaryDirectory(prefix="azready-fuzz-") as folder:
            outcomes.append(plain(carry_out(case, program, fabric, Path(folder))))
    one, other = outcomes
    if one == other:
        return ""
    lines = [case.name]
    for name in ("exit", "changes", "accounts", "commands", "requests", "report", "findings", "stdout"):
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, dict) and left != right:
            pairs = {key: (left.get(key, "as it was"), right.get(key, "as it was")) for key in {**left, **right}}
            lines += [f"  {key}: {a!r}\n    | {b!r}" for key, (a, b) in sorted(pairs.items()) if a != b]
        elif left != right:
            lines.append(f"  {name}: {left!r}\n    | {right!r}")
    log = difflib.unified_diff(one.stderr.split("\n"), other.stderr.split("\n"), "py", "sh", "", "", 1, "")
    given = [f"  IMDS {case.machine.imds}", f"  settings {case.settings!r}", f"  medium {case.medium!r}"]
    given += [f"  image {path}: {node}" for path, node in case.tree.items()]
    return "\n".join([*lines, *(f"  {line}" for line in log), "  of", *given]).replace("\0", "")


def campaign(seed: int, runs: int) -> Iterator[str]:
    """Each input on both programs."""
    programs = (reference_python(), reference_shell())
    with Fabric(rules=Rules(imds_rate=100000)) as fabric:
        for number in range(runs):
            if found := differences(random_case(seed, number), programs, fabric):
                yield found
