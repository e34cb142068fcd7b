"""SSH keys: which are taken, cleaned, left out; where they go; what is never followed."""

from collections.abc import Mapping

from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    KEY,
    KEYS,
    OTHER_KEY,
    RSA_BODY,
    SUDOERS,
    USERADD,
    VISUDO,
    Case,
    File,
    Folder,
    Link,
    Node,
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
from tests.contract.cases.passwords import redacted

RSA = f"ssh-rsa {RSA_BODY} old@portal"
BROKEN_RSA = f"ssh-rsa {RSA_BODY[:70]}\r\n{RSA_BODY[70:140]}\r\n{RSA_BODY[140:]} old@portal\r\n"
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIBADANBgkqhkiG9w0BAQUFADAdMRswGQ\n-----END CERTIFICATE-----\n"
SK = (
    "sk-ssh-ed25519@openssh.com "
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIE1lPxbdQFXkWVGKuzkjOvvDQHIzbhRTGiU3iMbGb3NxAAAABHNzaDo="
)
ECDSA = (
    "ecdsa-sha2-nistp256 "
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YR"
    "rYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg= me"
)


_ED, _RSA = KEY.split()[1], RSA_BODY
DAMAGED = (
    f"ssh-rsa {_RSA[: len(_RSA) // 8 * 4]} half",
    f"ssh-rsa {_RSA[:40]}{_RSA[44:]} lost",
    f"ssh-rsa {_RSA.rstrip('=')[:-4]} end",
    f"ssh-ed25519 {_ED[:24]}{_ED[28:]} lost",
    f"ssh-ed25519 {_ED}== padded",
    f"ssh-ed25519 {_ED[:-1]} short",
    f"{ECDSA.split()[0]} {ECDSA.split()[1][:-8]} end",
    f"ecdsa-sha2-nistp384 {ECDSA.split()[1]} other",
    f"{SK.split()[0]} {SK.split()[1][:-8]} cut",
    f"ssh-rsa {_ED} other",
)
"""Keys that ssh-keygen refuses, too."""


def nobody() -> dict[str, Node | None]:
    """What a run leaves that fails at its last step, and has brought no key."""
    return {
        **begun(),
        **named(),
        SUDOERS: sudoers("azureuser"),
    }


def image_user(*files: tuple[str, Node]) -> dict[str, Node | None]:
    """An image that has the user already, so that its home can hold something."""
    return {
        "etc/passwd": File("root:x:0:0:root:/root:/bin/bash\nazureuser:x:1000:1000::/home/azureuser:/bin/sh\n"),
        "etc/group": File("root:x:0:\nadm:x:4:azureuser\nsudo:x:27:azureuser\nazureuser:x:1000:\n"),
        "etc/shadow": File("root:*:19000:0:99999:7:::\nazureuser:!:19000:0:99999:7:::\n", 0o640),
        "home/azureuser": Folder(0o700),
        **dict(files),
    }


def refused(name: str, error: str, *files: tuple[str, Node]) -> Case:
    """Something in the home that must not be followed: nothing outside of it is touched."""
    return Case(
        name,
        tree=image_user(*files),
        exit=1,
        commands=(VISUDO,),
        changes={**begun(), **named(), SUDOERS: sudoers("azureuser")},
        report=failed("failure in step keys", "step=keys", f"error={error}"),
    )


def elsewhere(name: str, setting: str, path: str, more_files: Mapping[str, File | None] | None = None) -> Case:
    """AuthorizedKeysFile names another place."""
    rest = {key: node for key, node in provisioned().items() if key != KEYS}
    config = f"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n{setting}\n"
    return Case(
        name,
        tree={"etc/ssh/sshd_config": File(config), **(more_files or {})},
        changes={**rest, path: File(KEY + "\n", 0o600)},
    )


CASES = [
    Case("two keys", machine=machine(public_keys=(KEY, OTHER_KEY)), changes=provisioned(keys=(KEY, OTHER_KEY))),
    Case("no key", machine=machine(public_keys=()), changes={**provisioned(keys=())}),
    Case(
        "a key broken by CR LF is mended",
        machine=machine(public_keys=(BROKEN_RSA,)),
        changes=provisioned(keys=(RSA,)),
        everywhere=True,
    ),
    Case("a key with a line end", machine=machine(public_keys=(KEY + "\n",)), changes=provisioned()),
    Case(
        "security keys and ECDSA are keys, too",
        machine=machine(public_keys=(SK, ECDSA)),
        changes=provisioned(keys=(SK, ECDSA)),
    ),
    Case(
        "several keys in one value",
        machine=machine(public_keys=(f"{KEY}\r\n{OTHER_KEY}\r\n",)),
        changes=provisioned(keys=(KEY, OTHER_KEY)),
    ),
    Case(
        "the same key twice",
        machine=machine(public_keys=(KEY, KEY)),
        changes=provisioned(),
    ),
    Case(
        "a certificate is left out, the rest is used",
        machine=machine(public_keys=(PEM, KEY)),
        changes=provisioned(),
        says=("warning: key 0 from IMDS was skipped: it is a certificate, not an ssh key",),
    ),
    Case(
        "bad keys are left out by their number",
        machine=machine(
            public_keys=("ssh-foo AAAA me", "ssh-ed25519 !!!! me", "ssh-ed25519 AAAAB3NzaC1yc2EAAAA= me", "", KEY)
        ),
        changes=provisioned(),
        says=(
            "warning: key 0 from IMDS was skipped: it does not begin with a known key type",
            "warning: key 1 from IMDS was skipped: its body is not base64",
            "warning: key 2 from IMDS was skipped: its body is not a key of that type, or is cut",
            "warning: key 3 from IMDS is empty and was skipped",
        ),
        everywhere=True,
    ),
    Case(
        "keys with options, commands and globs",
        machine=machine(
            public_keys=(
                'command="rm -rf /",no-pty ' + KEY,
                "$(touch FOLDER/evil) " + RSA,
                f"{OTHER_KEY} $(id) `id` * 'x' \"y\"",
            )
        ),
        changes=provisioned(keys=('command="rm -rf /",no-pty ' + KEY, f"{OTHER_KEY} $(id) `id` * 'x' \"y\"")),
        everywhere=True,
    ),
    Case(
        "only bad keys: nobody could log in",
        machine=machine(public_keys=("nonsense", "ssh-dss AAAA x")),
        exit=1,
        changes=nobody(),
        report=failed(
            "no way to log in: no usable key",
            "step=access",
            *(f"key=key {number} from IMDS was skipped: it does not begin with a known key type" for number in (0, 1)),
        ),
        everywhere=True,
    ),
    Case(
        "only bad keys, ACCESS=warn",
        machine=machine(public_keys=("nonsense",)),
        settings="ACCESS=warn\n",
        changes=provisioned(keys=()),
        says=("warning: no way to log in: no usable key",),
    ),
    Case(
        "only bad keys, ACCESS=off",
        machine=machine(public_keys=("nonsense",)),
        settings="ACCESS=off\n",
        changes=provisioned(keys=()),
        says=("access: off (ACCESS=off)",),
    ),
    Case(
        "only bad keys, and the keys are the image's own business",
        machine=machine(public_keys=("nonsense",)),
        settings="SKIP=keys\n",
        changes=provisioned(keys=()),
    ),
    Case(
        "IMDS has no usable key, the medium has one",
        machine=machine(public_keys=(PEM, "")),
        medium=ovf_env(machine()),
        changes={**provisioned(), **redacted(machine())},
        says=("key 0 from IMDS was skipped: it is a certificate", "key 1 from IMDS is empty and was skipped"),
        everywhere=True,
    ),
    Case(
        "keys that are damaged are left out by their number",
        machine=machine(public_keys=(*DAMAGED, KEY)),
        changes=provisioned(),
        says=tuple(f"warning: key {number} from IMDS was skipped: its body is not" for number in range(len(DAMAGED))),
        everywhere=True,
    ),
    Case(
        "a byte order mark, two keys side by side, the same key with another comment",
        machine=machine(public_keys=("\ufeff" + KEY, f"{OTHER_KEY} {RSA}", KEY.rpartition(" ")[0] + " me@desk")),
        changes=provisioned(keys=(KEY, OTHER_KEY, RSA)),
        everywhere=True,
    ),
    Case(
        "options that are none, and quotes that do not end",
        machine=machine(public_keys=("from= " + KEY, 'from="10.0.0.1 ' + KEY, "no-such-option " + KEY, OTHER_KEY)),
        changes=provisioned(keys=(OTHER_KEY,)),
        says=("key 2 from IMDS was skipped: it does not begin with a known key type",),
    ),
    Case(
        "a comment with control characters, and one that is long",
        machine=machine(public_keys=(KEY + " a\u0001b", OTHER_KEY + " " + "ü" * 200)),
        changes=provisioned(keys=(KEY + " a b", OTHER_KEY + " " + "ü" * 122)),
    ),
    Case(
        "publicKeys is not a list",
        machine=imds(compute__publicKeys="ssh-rsa"),
        changes=provisioned(keys=()),
    ),
    Case(
        "what the image's file holds stays",
        tree=image_user(
            ("home/azureuser/.ssh", Folder(0o755)),
            (KEYS, File(f'# mine\nfrom="10.0.0.1" {KEY}\n{OTHER_KEY}', 0o644)),
        ),
        machine=machine(public_keys=(KEY, RSA)),
        commands=(VISUDO,),
        changes={
            **provisioned(),
            KEYS: File(f'# mine\nfrom="10.0.0.1" {KEY}\n{OTHER_KEY}\n{RSA}\n', 0o600),
        },
    ),
    refused(
        ".ssh is a link out of the home",
        ".ssh is a symbolic link or no folder",
        ("home/azureuser/.ssh", Link("/root")),
    ),
    refused(
        "authorized_keys is a link",
        "authorized_keys is a symbolic link",
        ("home/azureuser/.ssh", Folder(0o700)),
        (KEYS, Link("../../../etc/shadow")),
    ),
    refused(
        "authorized_keys is a folder",
        "authorized_keys is no regular file",
        ("home/azureuser/.ssh", Folder(0o700)),
        (KEYS, Folder(0o700)),
    ),
    elsewhere("AuthorizedKeysFile with %u", "AuthorizedKeysFile /etc/ssh/keys/%u", "etc/ssh/keys/azureuser"),
    elsewhere("AuthorizedKeysFile with %h", "AuthorizedKeysFile %h/keys/%u", "home/azureuser/keys/azureuser"),
    elsewhere(
        "the first of two AuthorizedKeysFile, quoted, with =",
        'authorizedkeysfile=".ssh/first" ".ssh/second" # two\nAuthorizedKeysFile .ssh/third',
        "home/azureuser/.ssh/first",
    ),
    elsewhere(
        "AuthorizedKeysFile in a Match block is not ours",
        "Match User x\n  AuthorizedKeysFile /else",
        KEYS,
    ),
    elsewhere(
        "a Match block ends with its file, not with the file that includes it",
        "AuthorizedKeysFile /etc/ssh/keys/%u",
        "etc/ssh/keys/azureuser",
        more_files={"etc/ssh/sshd_config.d/50-x.conf": File("Match User x\n  AuthorizedKeysFile /else\n")},
    ),
    elsewhere("AuthorizedKeysFile with a blank", 'AuthorizedKeysFile "%h/.ssh/my keys"', "home/azureuser/.ssh/my keys"),
    elsewhere(
        "AuthorizedKeysFile in a Match block about the admin",
        "AuthorizedKeysFile /else\nMatch User bob,azure* Group sudo\n  AuthorizedKeysFile .ssh/mine\nMatch all",
        "home/azureuser/.ssh/mine",
    ),
    elsewhere(
        "Include with patterns in folders, and CR LF",
        "Include /etc/ssh/conf.d/*/[0-9]*.conf\r\nMatch User !azureuser,*\r\n  AuthorizedKeysFile /else\r",
        "home/azureuser/.ssh/site",
        more_files={
            "etc/ssh/conf.d/b/5-x.conf": File("AuthorizedKeysFile .ssh/site\r\n"),
            "etc/ssh/conf.d/a/x.conf": File("AuthorizedKeysFile .ssh/other\n"),
        },
    ),
    elsewhere(
        "files of sshd that include themselves, three times each",
        "AuthorizedKeysFile .ssh/own\nInclude /etc/ssh/round.conf",
        "home/azureuser/.ssh/own",
        more_files={
            "etc/ssh/round.conf": File("Include /etc/ssh/r*.conf /etc/ssh/round.conf\nInclude /etc/ssh/round.conf\n")
        },
    ),
    elsewhere(
        "the vendor's sshd_config in /usr/etc",
        "",
        "home/azureuser/.ssh/vendor",
        more_files={
            "etc/ssh/sshd_config": None,
            "usr/etc/ssh/sshd_config": File(
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nAuthorizedKeysFile .ssh/vendor\n"
            ),
        },
    ),
    Case(
        "AuthorizedKeysFile none: nobody could log in",
        tree={"etc/ssh/sshd_config": File("Include /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile none\n")},
        exit=1,
        commands=(USERADD, VISUDO, "usermod --prefix ROOT -p * azureuser"),
        changes={**nobody(), KEYS: File(KEY + "\n", 0o600)},
        report=failed("no way to log in: sshd reads no file of keys (AuthorizedKeysFile none)", "step=access"),
    ),
    Case(
        "AuthorizedKeysFile none, but a program of the image is asked: nobody knows",
        tree={
            "etc/ssh/sshd_config": File(
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nAuthorizedKeysFile none\n"
                "AuthorizedKeysCommand /usr/bin/keys %u\n"
            )
        },
        changes=provisioned(),
        says=("is left to AuthorizedKeysCommand /usr/bin/keys %u\naccess: azureuser gets in",),
    ),
    Case(
        "a folder of keys keeps its mode, a file that others share its own",
        tree={
            "etc/ssh/sshd_config": File(
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nAuthorizedKeysFile /srv/keys/all\n"
            ),
            "srv/keys": Folder(0o711),
            "srv/keys/all": File(OTHER_KEY + "\n", 0o644),
        },
        changes={
            **{key: node for key, node in provisioned().items() if key != KEYS},
            "srv/keys/all": File(f"{OTHER_KEY}\n{KEY}\n", 0o644),
        },
    ),
    Case(
        "no sshd at all",
        tree={
            "etc/ssh/sshd_config": None,
            "etc/ssh/sshd_config.d/00-azure-provisioning.conf": None,
            "etc/ssh/ssh_host_rsa_key": None,
            "etc/ssh/ssh_host_ecdsa_key": None,
            "etc/ssh/ssh_host_ed25519_key": None,
        },
        without=("sshd", "ssh-keygen"),
        changes={**stamps(machine()), **named(), **account("azureuser", KEY)},
        commands=(USERADD, VISUDO),
    ),
]
