"""Forms that images take, each made of a Debian tree by a few lines of sh; and what the owner shall meet there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

End = Literal["in", "warned", "refused"]


@dataclass(frozen=True)
class Form:
    """One form of an image. KEY, OTHER and RSA in texts stand for public keys that are made for the run."""

    name: str
    image: str = ""
    """sh, run in the tree before the first boot."""
    keys: tuple[str, ...] = ("KEY",)
    medium_keys: tuple[str, ...] = ()
    """The keys on a medium, where there shall be one with other keys than IMDS has."""
    password: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    user: str = "azureuser"
    end: End = "in"
    """in: Ready, login and root by the key (the password, where there is no key). warned: Ready, with `says`.
    refused: not Ready, with `says` in what the platform was told."""
    says: str = ""
    after: str = ""
    """sh, run in the tree after the boot; whatever it prints, and any failure, is wrong."""
    running: str = ""
    """sshd runs during the first boot already, with these options, and is not started again for the login."""


def config(*lines: str) -> str:
    """sh that puts lines at the head of sshd_config; the last of its text."""
    text = "\n".join(lines)
    return f"cat - /etc/ssh/sshd_config >/etc/ssh/new <<'E' && mv /etc/ssh/new /etc/ssh/sshd_config\n{text}\nE\n"


def tail(*lines: str) -> str:
    """sh that puts lines at the end of sshd_config; the last of its text."""
    text = "\n".join(lines)
    return f"cat >>/etc/ssh/sshd_config <<'E'\n{text}\nE\n"


def first(file: str, *lines: str) -> str:
    """sh that puts lines at the head of a file, which is made where it is not there; the last of its text."""
    text = "\n".join(lines)
    return f"touch {file}; cat - {file} >/etc/new <<'E' && chmod 644 /etc/new && mv /etc/new {file}\n{text}\nE\n"


ACCOUNT = "useradd -m -s /bin/bash azureuser"
OWN = f"/usr/bin/own; chmod 755 /usr/bin/own; {ACCOUNT}; usermod -s /usr/bin/own azureuser"
LOCKS = "for f in passwd shadow group gshadow subuid subgid; do printf '{}' >/etc/$f.lock; done"
NO_LOCKS = "ls /etc/*.lock /etc/*+ /etc/passwd.[0-9]* 2>/dev/null"
WHOLE = "for f in shadow group gshadow subuid subgid; do grep -q ^azureuser: /etc/$f || echo $f lacks it; done"
FIXED = "mount --bind {0} {0}; mount -o remount,bind,ro {0}"
WANTS_PASSWORD = {"disable_password_authentication": False}

FORMS = (
    Form("plain"),
    # accounts
    Form("the account is there", ACCOUNT),
    Form(
        "the home belongs to somebody else",
        "mkdir -p /home/azureuser; chown 4321:4321 /home/azureuser; chmod 700 /home/azureuser",
    ),
    Form("others may write into the home", f"{ACCOUNT}; chmod 777 /home/azureuser"),
    Form(
        "useradd cut off after passwd",
        "echo azureuser:x:1000:1000::/home/azureuser:/bin/bash >>/etc/passwd",
        after=WHOLE,
    ),
    Form(
        "useradd cut off after shadow",
        f"{ACCOUNT}; sed -i /^azureuser:/d /etc/group /etc/gshadow /etc/subuid",
        after=WHOLE,
    ),
    Form(
        "useradd cut off before chown",
        f"{ACCOUNT}; chown -R 0:0 /home/azureuser; : >/home/azureuser/.bashrc; {LOCKS.format(1)}",
        after=f"{NO_LOCKS}; [ -s /home/azureuser/.bashrc ] || echo empty",
    ),
    Form("locks of an earlier boot, no account", LOCKS.format(1), after=NO_LOCKS),
    Form("locks of an earlier boot, account in no group", f"{ACCOUNT}; {LOCKS.format(1)}", after=NO_LOCKS),
    Form(
        "locks and files not yet renamed",
        f"{ACCOUNT}; {LOCKS.format(2)}; : >/etc/passwd+; : >/etc/passwd.17",
        after=NO_LOCKS,
    ),
    Form("/home is a link to what is not there", "rmdir /home; ln -s var/home /home"),
    Form("/home is a link of links", "rmdir /home; ln -s /mnt/homes /home; ln -s ../srv/homes /mnt/homes"),
    Form(
        "the home is on another volume",
        "mkdir -p /data/people; useradd -m -d /data/people/azureuser azureuser -s /bin/bash",
    ),
    Form(
        "the group wheel is in /usr/lib",
        "echo wheel:x:870: >/usr/lib/group",
        after="id -nG azureuser | grep -qw wheel || id azureuser",
    ),
    Form(
        "GROUPS and SHELL",
        "groupadd ops",
        settings="GROUPS=ops,nosuch\nSHELL=/bin/sh\n",
        after="id -nG azureuser | grep -qx 'azureuser ops' || id azureuser; "
        "grep -q '^azureuser:.*:/bin/sh$' /etc/passwd || echo shell",
    ),
    Form("a name with a dot", machine={"admin_username": "john.doe"}, user="john.doe"),
    Form("a name in capitals", machine={"admin_username": "Ops-1"}, user="Ops-1"),
    Form(
        "a system account",
        "useradd -r -u 211 -g operator -d /root -s /sbin/nologin operator",
        machine={"admin_username": "operator"},
        end="refused",
        says="is a system account of this image",
    ),
    Form(
        "a system account with a home of the system's",
        "",
        machine={"admin_username": "nobody"},
        end="refused",
        says="is a system account",
    ),
    Form(
        "a home that two accounts share",
        f"{ACCOUNT}; useradd -M -d /home/azureuser other",
        end="refused",
        says="is a system account",
    ),
    Form(
        "passwords get too old",
        "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 60/' /etc/login.defs; echo INACTIVE=30 >>/etc/default/useradd",
        after="chage -d 1 azureuser",
    ),
    Form("the account wants a new password", f"{ACCOUNT}; chage -d 0 azureuser"),
    Form(
        "the shell lets nobody in",
        "useradd -m -s /usr/sbin/nologin azureuser",
        end="refused",
        says="the shell of azureuser is",
    ),
    Form("the shell is not there", "useradd -m -s /bin/zsh azureuser", end="refused", says="is not there"),
    Form("the account has expired", f"{ACCOUNT}; chage -E 1 azureuser", end="refused", says="has expired"),
    Form("ACCESS=warn", f"{ACCOUNT}; chage -E 1 azureuser", settings="ACCESS=warn\n", end="warned", says="has expired"),
    # keys
    Form("AuthorizedKeysFile in quotes", config('AuthorizedKeysFile ".ssh/authorized_keys" ".ssh/keys2"')),
    Form("AuthorizedKeysFile outside of the homes", config("AuthorizedKeysFile /etc/ssh/keys/%u")),
    Form(
        "a folder of keys that only root may enter",
        "mkdir -m 700 /etc/ssh/keys; " + config("AuthorizedKeysFile=/etc/ssh/keys/%u"),
    ),
    Form(
        "a folder of keys keeps its mode",
        "mkdir -m 711 /srv/keys; " + config("AuthorizedKeysFile /srv/keys/%u"),
        after="stat -c %a /srv/keys | grep -v 711",
    ),
    Form(
        "a file of keys that others share",
        "echo 'OTHER' >/etc/ssh/all; chmod 644 /etc/ssh/all; " + config("AuthorizedKeysFile /etc/ssh/all"),
        after="stat -c '%u %a' /etc/ssh/all | grep -v '^0 644'; grep -c . /etc/ssh/all | grep -v 2",
    ),
    Form("a file of keys that others will share", config("AuthorizedKeysFile /etc/ssh/all")),
    Form(
        "AuthorizedKeysFile for this user",
        tail("Match User azureuser", " AuthorizedKeysFile /etc/ssh/keys/%u", "Match all"),
    ),
    Form("AuthorizedKeysFile for a group", tail("Match Group sudo,admin", " AuthorizedKeysFile .ssh/admins")),
    Form("AuthorizedKeysFile for all but some", tail("Match User !root,*", ' AuthorizedKeysFile "%h/.ssh/my keys"')),
    Form(
        "Include with patterns",
        "mkdir -p /etc/ssh/conf.d/a; echo 'AuthorizedKeysFile .ssh/site' >/etc/ssh/conf.d/a/5-x.conf; "
        + config("Include /etc/ssh/conf.d/*/[0-9]*.conf"),
    ),
    Form(
        "CR LF in sshd_config",
        "echo 'AuthorizedKeysFile .ssh/site' >/etc/ssh/sshd_config.d/10-x.conf; cd /etc/ssh; "
        "sed -i 's/$/\\r/' sshd_config sshd_config.d/*",
    ),
    Form("a comment behind the value", config("AuthorizedKeysFile .ssh/site # ours")),
    Form("a byte order mark before the key", keys=("\ufeffKEY",)),
    Form("options before the key", keys=('from="127.0.0.1,10.0.0.0/8",no-pty KEY',)),
    Form("two keys in one value", keys=("OTHER KEY",)),
    Form("a cut key and a good one", keys=("CUT", "KEY"), says="key 0 from IMDS was skipped"),
    Form("an RSA key", keys=("RSA",)),
    Form("the good key is on the medium", keys=("-----BEGIN CERTIFICATE-----",), medium_keys=("KEY",)),
    Form("no usable key", keys=("ssh-dss AAAAB3NzaC1kc3M= me",), end="refused", says="no usable key"),
    Form("half a key", keys=("CUT",), end="refused", says="no usable key"),
    Form(
        "half a key, ACCESS=off",
        keys=("CUT",),
        settings="ACCESS=off\n",
        end="warned",
        says="key 0 from IMDS was skipped",
    ),
    # sshd
    Form(
        "AllowGroups without us",
        config("AllowGroups ssh-users"),
        end="refused",
        says="AllowGroups does not name azureuser",
    ),
    Form("AllowGroups with us", config("AllowGroups root sudo")),
    Form("AllowUsers by a pattern", config("AllowUsers root azure*")),
    Form("DenyUsers", config("DenyUsers azureuser"), end="refused", says="DenyUsers names azureuser"),
    Form(
        "DenyGroups of the admin's group", config("DenyGroups sudo"), end="refused", says="DenyGroups names azureuser"
    ),
    Form(
        "AllowUsers in a Match block",
        tail("Match User azureuser", " AllowUsers ops"),
        end="refused",
        says="AllowUsers does not name",
    ),
    Form("no keys", config("PubkeyAuthentication no"), end="refused", says="PubkeyAuthentication no"),
    Form("no files of keys", config("AuthorizedKeysFile none"), end="refused", says="AuthorizedKeysFile none"),
    Form(
        "only RSA keys",
        config("PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256"),
        end="refused",
        says="no key of type ssh-ed25519",
    ),
    Form("no keys, but a password", config("PubkeyAuthentication no"), password="Pa55:w rd", machine=WANTS_PASSWORD),
    Form(
        "a key and a password are asked for",
        config("AuthenticationMethods publickey,password"),
        end="refused",
        says="sshd",
    ),
    Form("sshd without PAM", "sed -i 's/^UsePAM.*/UsePAM no/' /etc/ssh/sshd_config"),
    Form(
        "a mode that is strict",
        "chmod 600 /etc/ssh/sshd_config; sed -i /^Include/d /etc/ssh/sshd_config",
        after="stat -c %a /etc/ssh/sshd_config | grep -v 600; sshd -T | grep -x 'passwordauthentication yes'",
    ),
    Form(
        "keyboard-interactive",
        "sed -i /^Kbd/d /etc/ssh/sshd_config",
        after="sshd -T | grep -x 'kbdinteractiveauthentication yes'",
    ),
    Form(
        "a file before ours allows passwords",
        "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-0.conf",
        after="sshd -T | grep -x 'passwordauthentication yes'",
    ),
    Form(
        "a line before the Include allows passwords",
        config("PasswordAuthentication yes"),
        after="sshd -T | grep -x 'passwordauthentication yes'",
    ),
    Form(
        "empty host keys",
        "for f in /etc/ssh/ssh_host_*; do : >$f; done",
        after="find /etc/ssh -name 'ssh_host_*_key' -size 0",
    ),
    Form(
        "a host key that is cut",
        "k=/etc/ssh/ssh_host_ed25519_key; head -c 100 $k >/k; cat /k >$k",
        after="ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key >/dev/null",
    ),
    Form("/etc/nologin", "echo closed >/etc/nologin", end="warned", says="/etc/nologin"),
    Form(
        "pam_access",
        "echo 'account required pam_access.so' >>/etc/pam.d/sshd; "
        "echo '-:ALL EXCEPT root:ALL' >>/etc/security/access.conf",
        end="warned",
        says="pam_access",
    ),
    Form(
        "pam_shells",
        "echo 'account required pam_shells.so' >>/etc/pam.d/sshd; sed -i /bash/d /etc/shells",
        end="warned",
        says="pam_shells may keep azureuser out: /bin/bash is not in /etc/shells",
    ),
    Form(
        "pam_shells by its path",
        "echo account required $(ls /lib/*/security/pam_shells.so) >>/etc/pam.d/sshd; sed -i /bash/d /etc/shells",
        end="warned",
        says="pam_shells may keep azureuser out: /bin/bash is not in /etc/shells",
    ),
    Form(
        "pam_succeed_if in what is included",
        "echo 'account [default=bad success=ok] pam_succeed_if.so user ingroup wheel' >/etc/pam.d/site; "
        "sed -i '1i account substack site' /etc/pam.d/sshd",
        end="warned",
        says="pam_succeed_if may keep azureuser out: user ingroup wheel",
    ),
    Form(
        "pam_deny after a jump, and what may be missing",
        "sed -i -e '1i account [success=1 default=ignore] pam_unix.so\\naccount requisite pam_deny.so' "
        "-e '1i session optional pam_gone.so' /etc/pam.d/sshd",
    ),
    Form(
        "no rules of PAM for sshd",
        "rm /etc/pam.d/sshd; printf 'account required pam_deny.so\\n' >/etc/pam.d/other",
        end="warned",
        says="pam_deny keeps everybody out: /etc/pam.d/other",
    ),
    Form(
        "a module of PAM that is gone",
        "sed -i '1i -session required pam_lastlog0.so' /etc/pam.d/sshd",
        end="warned",
        says="/etc/pam.d/sshd wants pam_lastlog0.so, which is not there: sshd lets nobody in",
    ),
    Form("a root folder as mktemp makes it", "chmod 700 /", end="refused", says="cannot enter /, which has mode 700"),
    Form("/home is root's alone", "chmod 700 /home", end="refused", says="cannot enter /home, which has mode 700"),
    Form("a /usr/lib that is root's alone", "chmod 700 /usr/lib", end="refused", says="cannot enter /usr/lib"),
    Form("/home is for a group of the owner's", "chmod 750 /home; chgrp sudo /home"),
    Form("a shell that is root's alone", "chmod 700 /bin/bash", end="refused", says="may not run /bin/bash"),
    Form(
        "a shell of git's",
        f"{ACCOUNT}; cp /bin/true /usr/bin/git-shell; usermod -s /usr/bin/git-shell azureuser",
        end="refused",
        says="the shell of azureuser is /usr/bin/git-shell",
    ),
    Form(
        "a keyword that sshd does not know",
        tail("GSSAPIFrobnicate yes"),
        end="refused",
        says="Bad configuration option: GSSAPIFrobnicate",
    ),
    Form(
        "a subsystem twice",
        tail("Subsystem sftp /usr/lib/openssh/sftp-server"),
        end="refused",
        says="Subsystem 'sftp' already defined",
    ),
    Form("another subsystem, and ciphers", tail("Subsystem x /bin/x", "Ciphers aes256-ctr", "RekeyLimit 1G 1h")),
    Form("a value that sshd does not take", config("PermitRootLogin maybe"), end="refused", says="sshd does not start"),
    Form("key exchange by what is unknown", config("KexAlgorithms x"), end="refused", says="sshd does not start"),
    Form("IPv6 alone", config("AddressFamily inet6"), end="warned", says="sshd listens to IPv6 alone"),
    Form(
        "IPv6 alone, by its addresses",
        config("ListenAddress [::]:22", "ListenAddress 127.0.0.1"),
        end="warned",
        says="sshd listens to IPv6 alone",
    ),
    Form(
        "a program that PAM asks",
        "echo 'session required pam_exec.so /bin/false' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_exec may keep azureuser out: /bin/false",
    ),
    Form(
        "PAM takes no password",
        "sed -i 's/pam_unix.so/pam_gone.so/' /etc/pam.d/common-auth",
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
        end="warned",
        says="pam_deny keeps everybody out: /etc/pam.d/common-auth",
    ),
    Form(
        "rules of PAM that include a dangling link",
        "ln -s /nowhere/password-auth /etc/pam.d/password-auth; "
        "sed -i 's/^@include common-account/account include password-auth/' /etc/pam.d/sshd",
        end="warned",
        says="/etc/pam.d/sshd includes password-auth, which is not there: sshd lets nobody in",
    ),
    Form(
        "rules of PAM from Windows",
        r"sed -i 's/$/\r/' /etc/pam.d/sshd",
        end="warned",
        says="lets nobody in",
    ),
    Form(
        "a rule of PAM with a word that is none",
        "echo 'account requird pam_unix.so' >>/etc/pam.d/sshd",
        end="warned",
        says="/etc/pam.d/sshd has a line that PAM does not understand (account requird pam_unix.so)",
    ),
    Form(
        "a jump of PAM's that ends before pam_deny",
        "printf 'account [success=1 default=ignore] pam_permit.so\naccount required pam_permit.so\n"
        "account required pam_deny.so\nsession required pam_permit.so\n' >/etc/pam.d/sshd",
        end="warned",
        says="pam_deny keeps everybody out: /etc/pam.d/sshd",
    ),
    Form(
        "PAM keeps the owner out of sudo",
        "printf 'account required pam_listfile.so item=user \\\\\\n sense=allow file=/etc/ok onerr=fail\\n"
        "session required pam_permit.so\\n' >/etc/pam.d/sudo",
        end="warned",
        says="pam_listfile may keep azureuser out of sudo: item=user sense=allow file=/etc/ok onerr=fail",
    ),
    Form(
        "hosts.deny",
        "echo 'ALL: ALL EXCEPT 10.0.0.0/255.0.0.0' >/etc/hosts.deny",
        end="warned",
        says="/etc/hosts.deny may keep azureuser out: ALL: ALL EXCEPT 10.0.0.0/255.0.0.0",
    ),
    Form("hosts.deny, and sshd in hosts.allow", "echo ALL: ALL >/etc/hosts.deny; echo sshd: ALL >/etc/hosts.allow"),
    Form("MaxAuthTries 0", config("MaxAuthTries 0"), end="refused", says="sshd's MaxAuthTries 0 takes no try"),
    Form(
        "RSA keys have to be longer",
        config("RequiredRSASize 4096"),
        keys=("RSA",),
        end="refused",
        says="sshd takes no RSA key of 3072 bits (RequiredRSASize 4096)",
    ),
    Form(
        "a list of revoked keys that is not there",
        config("RevokedKeys /etc/ssh/revoked"),
        end="refused",
        says="sshd takes no keys: RevokedKeys /etc/ssh/revoked is not there",
    ),
    Form("a list of revoked keys", "echo 'OTHER' >/etc/ssh/revoked; " + config("RevokedKeys /etc/ssh/revoked")),
    Form(
        "host keys elsewhere",
        config("HostKey /etc/ssh/keys/ed25519", "HostKey /var/lib/host_rsa"),
        says="made /etc/ssh/keys/ed25519, a host key that sshd_config names",
    ),
    Form(
        "a host key that nobody can make",
        config("HostKey /etc/ssh/keys/host"),
        end="refused",
        says="sshd does not start: none of its host keys is there (HostKey /etc/ssh/keys/host)",
    ),
    Form(
        "a host key that another makes after it",
        config("HostKey /etc/ssh/keys/host"),
        settings="SKIP=host-keys\n",
        end="warned",
        says="azureuser gets in",
    ),
    Form(
        "sshd listens to itself",
        config("ListenAddress 127.0.0.1", "ListenAddress [::1]:22"),
        says="sshd listens to this machine alone (ListenAddress 127.0.0.1 [::1]:22)",
    ),
    Form(
        "sshd_not_to_be_run",
        "touch /etc/ssh/sshd_not_to_be_run",
        says="/etc/ssh/sshd_not_to_be_run is there",
    ),
    Form(
        "HOME_MODE 0777",
        "sed -i '/^#* *HOME_MODE/d' /etc/login.defs; echo 'HOME_MODE 0777' >>/etc/login.defs",
        says="others could write into /home/azureuser, and sshd would refuse its keys: it has mode 755 from now on",
    ),
    Form(
        "a umask of 002",
        "sed -i -e '/^#* *HOME_MODE/d' -e '/^UMASK/d' /etc/login.defs; echo 'UMASK 002' >>/etc/login.defs",
        says="others could write into /home/azureuser",
    ),
    Form("MaxSessions 0", config("MaxSessions 0"), end="refused", says="sshd's MaxSessions 0 opens no session"),
    Form("MaxSessions 5", config("MaxSessions 5")),
    Form(
        "keys elsewhere for some addresses",
        tail("Match Address 10.0.0.0/8", " AuthorizedKeysFile /etc/ssh/keys/%u"),
        end="warned",
        says="a Match block of sshd_config may keep azureuser out",
    ),
    Form("forwarding off for some addresses", tail("Match Address 10.0.0.0/8", " AllowTcpForwarding no")),
    Form(
        "NSS does not look into the files",
        "sed -i 's/^passwd:.*/passwd: systemd/' /etc/nsswitch.conf",
        end="refused",
        says="the system does not find the account azureuser (passwd: systemd in /etc/nsswitch.conf)",
    ),
    Form(
        "NSS looks into the files last",
        "sed -i 's/^passwd:.*/passwd: systemd files/' /etc/nsswitch.conf",
    ),
    Form(
        "HOME_MODE 0000",
        "sed -i '/^#* *HOME_MODE/d' /etc/login.defs; echo 'HOME_MODE 0000' >>/etc/login.defs",
        says="/home/azureuser was closed to azureuser: it has mode 700 from now on",
    ),
    Form(
        "HOME_MODE 0000 behind blanks",
        "sed -i '/^#* *HOME_MODE/d' /etc/login.defs; printf ' \\tHOME_MODE\\t0000\\n' >>/etc/login.defs",
        says="/home/azureuser was closed to azureuser: it has mode 700 from now on",
    ),
    Form(
        "a umask of 0777",
        "sed -i -e '/^#* *HOME_MODE/d' -e '/^UMASK/d' /etc/login.defs; echo 'UMASK 0777' >>/etc/login.defs",
        says="/home/azureuser was closed to azureuser: it has mode 700 from now on",
    ),
    # passwords
    Form("a password", keys=(), password="s3cret: pass", machine=WANTS_PASSWORD),
    Form(
        "a password, sshd runs, PidFile none",
        config("PidFile none"),
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
        running="-p 2222",
    ),
    Form(
        "a password, sshd runs, PidFile elsewhere",
        config("PidFile /run/sshd/here.pid"),
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
        running="-p 2222",
    ),
    Form(
        "a password, a file before ours says no",
        "echo PasswordAuthentication no >/etc/ssh/sshd_config.d/00-0.conf",
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
    ),
    Form(
        "a password, a Match block says no",
        tail("Match all", " PasswordAuthentication no", " KbdInteractiveAuthentication no"),
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
        end="refused",
        says="sshd takes no passwords",
    ),
    Form(
        "a password is wanted and none came",
        keys=(),
        machine=WANTS_PASSWORD,
        settings="MEDIUM_WAIT=0\n",
        end="refused",
        says="none came",
    ),
    # sudo
    Form(
        "others may write to sudoers",
        "chmod 666 /etc/sudoers",
        says="others than root could write to /etc/sudoers",
        after="stat -c %a /etc/sudoers | grep -v 644",
    ),
    Form(
        "another user's sudoers.d",
        "chown 33 /etc/sudoers.d; chmod 770 /etc/sudoers.d",
        says="others than root could write to /etc/sudoers.d",
        after="stat -c '%u %a' /etc/sudoers.d | grep -v '^0 750'",
    ),
    Form(
        "sudo makes nobody root",
        "chmod 755 /usr/bin/sudo",
        end="warned",
        says="azureuser cannot become root: /usr/bin/sudo is not setuid root",
    ),
    Form(
        "sudo is not for everybody",
        "chmod 4750 /usr/bin/sudo",
        end="warned",
        says="azureuser may not run /usr/bin/sudo, which has mode 4750",
    ),
    Form(
        "sudo with another plugin",
        "echo 'Plugin sudoers_policy gone.so' >/etc/sudo.conf",
        end="warned",
        says="; sudo: fatal error, unable to load plugins",
    ),
    Form("a file of sudo's that sorts later", "groupadd wheel; echo '%wheel ALL=(ALL:ALL) ALL' >/etc/sudoers.d/wheel"),
    Form("a file of sudo's that sorts last of all", "echo '%sudo ALL=(ALL) ALL' >/etc/sudoers.d/zzz-last"),
    Form(
        "a file of sudo's that sorts behind z", "echo '%sudo ALL=(ALL) ALL' | tee /etc/sudoers.d/{x >/etc/sudoers.d/é"
    ),
    Form("sudoers includes no folder", "sed -i /includedir/d /etc/sudoers"),
    Form("a rule behind the include", "echo '%sudo ALL=(ALL:ALL) ALL' >>/etc/sudoers"),
    Form(
        "an alias and a rule behind the include",
        "printf 'User_Alias ADMINS = %%sudo\\nADMINS ALL = (ALL) ALL\\n' >>/etc/sudoers",
    ),
    Form("targetpw, as SUSE has it", "printf 'Defaults targetpw\\nALL ALL=(ALL) ALL\\n' >>/etc/sudoers"),
    # what is around
    Form(
        "only a comment of nsswitch.conf says myhostname",
        "sed -i 's/^hosts:.*/hosts: files dns # not myhostname/' /etc/nsswitch.conf",
        after="getent hosts web1 >/dev/null || echo web1 is not known",
    ),
    Form(
        "/etc is read-only, and the owner is in the image",
        f"{ACCOUNT}; echo 'azureuser ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/owner; {FIXED.format('/etc')}",
        says="/etc is read-only",
    ),
    Form(
        "/etc and /var are read-only, and a group's rule makes the owner root",
        f"{ACCOUNT} -G sudo; sed -i 's/^%sudo.*/%sudo ALL=(ALL) NOPASSWD: ALL/' /etc/sudoers; "
        f"{FIXED.format('/etc')}; {FIXED.format('/var')}",
        says="provisioned again at each boot",
    ),
    Form(
        "/etc is read-only, and the owner is nobody there",
        FIXED.format("/etc"),
        end="refused",
        says="/etc is read-only, and azureuser is not in the image",
    ),
    Form("/var is read-only", FIXED.format("/var"), says="provisioned again at each boot"),
    Form(
        "custom data for cloud-init", machine={"user_data": "#cloud-config\n"}, end="warned", says="nobody follows it"
    ),
    # further forms of the same kinds
    Form("AllowUsers with addresses", config("AllowUsers azureuser@10.0.0.0/8 azureuser@127.0.0.1")),
    Form("AuthenticationMethods, one of them a key", config("AuthenticationMethods publickey,password publickey")),
    Form(
        "AuthorizedKeysFile for a group, in an included file",
        "printf 'Match Group sudo\\n AuthorizedKeysFile /etc/ssh/k/%%u\\n' >/etc/ssh/sshd_config.d/20-x.conf",
    ),
    Form(
        "quotes and equals signs",
        config('PubkeyAuthentication="yes"', '\tAuthorizedKeysFile\t=\t".ssh/one" .ssh/two', 'AllowGroups = "sudo"'),
    ),
    Form("DenyUsers by a pattern that leaves us out", config("DenyUsers !azureuser,azure* bob")),
    Form(
        "keys only by a command",
        config("AuthorizedKeysFile none", "AuthorizedKeysCommand /usr/bin/true", "AuthorizedKeysCommandUser nobody"),
        end="warned",
        says="is left to AuthorizedKeysCommand /usr/bin/true",
    ),
    Form(
        "keys in the vendor's place, StrictModes off", config("StrictModes no", "AuthorizedKeysFile /srv/a/b/%u/keys")
    ),
    Form(
        "sudoers includes another folder",
        "sed -i 's|/etc/sudoers.d|/etc/sudoers.local|' /etc/sudoers; mkdir /etc/sudoers.local",
    ),
    Form("a rule denies this user at the end", "echo 'azureuser ALL=(ALL) !ALL' >>/etc/sudoers"),
    Form("a password is wanted of this user at the end", "printf 'azureuser ALL=(ALL) PASSWD: ALL' >>/etc/sudoers"),
    Form("a group of sudoers by number", "groupadd -g 870 wheel; echo '%#870 ALL=(ALL) ALL' >/etc/sudoers.d/zz-wheel"),
    Form("Defaults about this user", "echo 'Defaults:azureuser !authenticate, rootpw' >>/etc/sudoers"),
    Form(
        "sudoers.d includes a file",
        "mkdir /etc/more; echo '%sudo ALL=(ALL) ALL' >/etc/more/a; echo '@include /etc/more/a' >/etc/sudoers.d/zzz",
    ),
    Form(
        "an account without a password",
        f"{ACCOUNT}; passwd -d azureuser >/dev/null",
        after="grep ^azureuser:: /etc/shadow",
    ),
    Form("NIS lines in the account files", "echo +:::::: >>/etc/passwd; echo +::: >>/etc/group"),
    Form("uid 1000 and its home are another's", "useradd -m other; useradd -m -u 1000 -o -d /home/third third"),
    Form("a group of the user's name", "groupadd -g 1500 azureuser"),
    Form("the account is inactive", f"{ACCOUNT}; chage -d 1 -M 60 -I 30 azureuser"),
    Form(
        "the home is a link",
        "useradd -M -s /bin/bash azureuser; mkdir -p /data/az; chown azureuser: /data/az; "
        "ln -s /data/az /home/azureuser",
    ),
    Form("the home is not there", "useradd -M -s /bin/bash azureuser"),
    Form(
        "account files without a last line end",
        f"{ACCOUNT}; for f in passwd shadow group; do "
        'printf %s "$(cat /etc/$f)" >/etc/x; cat /etc/x >/etc/$f; done; rm /etc/x',
    ),
    Form("CR LF behind the key", keys=("  KEY\r\n",)),
    Form("two keys of CR LF lines", keys=("OTHER\r\nKEY\r\n",)),
    Form("a key behind a comment line", keys=("# mine\nKEY",)),
    Form("environment and command with quotes", keys=('environment="A=b c",no-agent-forwarding KEY',)),
    Form(
        "the keys are there already",
        f"{ACCOUNT}; cd /home/azureuser; mkdir -m 700 .ssh; echo ' KEY ' >.ssh/authorized_keys; "
        "chmod 666 .ssh/authorized_keys; chown -R azureuser: .ssh",
    ),
    Form(".ssh is root's", f"{ACCOUNT}; mkdir -m 755 /home/azureuser/.ssh"),
    Form(
        ".ssh is a link out of the home",
        f"{ACCOUNT}; mkdir /srv/keys; ln -s /srv/keys /home/azureuser/.ssh",
        end="refused",
        says="failure in step keys",
    ),
    Form("a password with quotes and signs", keys=(), password="a\"b'c$d\\e:f", machine=WANTS_PASSWORD),
    # what leaves the owner outside below sshd's own rules, or makes nobody root
    Form(
        "host keys of another kind than sshd may show",
        config("HostKey /etc/ssh/ssh_host_ed25519_key", "HostKeyAlgorithms rsa-sha2-512"),
        end="refused",
        says="no host key of the kinds that it may show (HostKeyAlgorithms rsa-sha2-512)",
    ),
    Form("host keys of a kind that sshd may show", config("HostKeyAlgorithms ssh-ed25519,rsa-sha2-512")),
    Form(
        "no connection from any address",
        config("PerSourceMaxStartups 0"),
        end="refused",
        says="PerSourceMaxStartups 0 takes no connection",
    ),
    Form(
        "no account for sshd itself",
        "sed -i /^sshd:/d /etc/passwd",
        end="refused",
        says="Privilege separation user sshd does not exist",
    ),
    Form("sshd sets a PATH", config("SetEnv PATH=/nowhere"), end="warned", says="SetEnv PATH=/nowhere holds"),
    Form(
        "sudo wants a terminal",
        "printf 'Defaults use_pty,requiretty # x\\n' >/etc/sudoers.d/10-cis",
        end="warned",
        says="sudo wants a terminal: requiretty",
    ),
    Form(
        "sudo wants a terminal of others",
        "printf 'Defaults:root requiretty\\nDefaults !requiretty\\n' >/etc/sudoers.d/10-cis",
    ),
    Form(
        "sudo finds no programs",
        "echo 'Defaults secure_path = \"/nowhere:/srv\"' >>/etc/sudoers",
        end="warned",
        says="sudo finds no programs: secure_path /nowhere:/srv",
    ),
    Form(
        "sudo makes another than root",
        "echo 'Defaults:azureuser runas_default=nobody' >/etc/sudoers.d/10-site",
        end="warned",
        says="sudo makes azureuser nobody, and not root",
    ),
    Form(
        "sudo in a folder that is not there",
        "echo 'Defaults runcwd=/nowhere' >/etc/sudoers.d/10-site",
        end="warned",
        says="runcwd /nowhere is not there",
    ),
    Form(
        "sudo's own plugins are not there",
        "echo 'Path plugin_dir /nowhere/' >>/etc/sudo.conf",
        end="warned",
        says="unable to load /nowhere/sudoers.so",
    ),
    Form(
        "limits in a file that is not there",
        "echo 'session required pam_limits.so conf=/nowhere' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_limits may keep azureuser out: /nowhere is not there",
    ),
    Form(
        "no logins by the limits",
        "echo '* hard maxlogins 0' >/etc/security/limits.d/5.conf",
        end="warned",
        says="* hard maxlogins 0",
    ),
    Form(
        "a group for PAM, which asks for root's",
        "groupadd wheel; echo 'account required pam_wheel.so group=wheel' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_wheel may keep azureuser out: group=wheel",
    ),
    Form(
        "a nologin of its own",
        "touch /etc/closed; echo 'account required pam_nologin.so file=/etc/closed' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_nologin may keep azureuser out: /etc/closed is there",
    ),
    Form(
        "the access table for sessions",
        "echo 'session required pam_access.so' >>/etc/pam.d/sshd; echo '-:azureuser:ALL' >>/etc/security/access.conf",
        end="warned",
        says="pam_access may keep azureuser out: -:azureuser:ALL",
    ),
    Form(
        "the shell of /etc/skel ends at once",
        "echo exit | cat - /etc/skel/.bashrc >/etc/x; mv /etc/x /etc/skel/.bashrc",
        end="warned",
        says="/home/azureuser/.bashrc may end the shell",
    ),
    Form(
        "a folder among PAM's files, and a table of shells",
        "mkdir /etc/pam.d/more; printf '@include more\\naccount required pam_shells.so\\n' >>/etc/pam.d/sshd; "
        ": >/etc/shells",
        end="warned",
        says="pam_shells may keep azureuser out: /bin/bash is not in /etc/shells",
    ),
    Form(
        "PAM's files nest forty deep",
        'for i in $(seq 1 40); do echo "session include n$((i + 1))" >/etc/pam.d/n$i; done; '
        "echo 'session optional pam_permit.so' >/etc/pam.d/n41; echo 'session include n1' >>/etc/pam.d/sshd",
    ),
    Form(
        "faillock, and homes of 0700",
        "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs; echo HOME_MODE 0700 >>/etc/login.defs; "
        "sed -i '1i auth required pam_faillock.so preauth' /etc/pam.d/common-auth; "
        "echo 'account required pam_faillock.so' >>/etc/pam.d/common-account",
    ),
    Form(
        "the key of an authority",
        keys=('cert-authority,principals="a" KEY',),
        end="warned",
        says="azureuser gets in by a certificate alone",
    ),
    Form("the key of an authority, and one more", keys=("cert-authority OTHER", "KEY")),
    Form(
        "keys that sshd does not take, and one that it takes",
        keys=('expiry-time="20200101" OTHER', 'principals="a" OTHER', "command OTHER", 'from="127.0.0.1",no-pty KEY'),
        says="key 0 from IMDS was skipped: its expiry-time has passed",
    ),
    Form(
        "a key with an option that sshd does not understand",
        keys=('permitopen="host" KEY',),
        end="refused",
        says="key 0 from IMDS was skipped: sshd does not take its option permitopen",
    ),
    Form(
        "a script as the shell, and what runs it is gone",
        f"printf '#!/nowhere/sh -e\\n' >{OWN}",
        end="refused",
        says="/usr/bin/own, wants /nowhere/sh, which is not there",
    ),
    Form(
        "a shell of another C library",
        f"sed 's|/lib64/ld-linux-x86-64.so.2|/lib64/ld-linux-x86-64.so.9|' /bin/bash >{OWN}",
        end="refused",
        says="/usr/bin/own, wants /lib64/ld-linux-x86-64.so.9, which is not there",
    ),
    Form("a shell of one's own", f"cat /bin/bash >{OWN}"),
    Form(
        "/usr makes nobody root",
        "mount --bind /usr /usr; mount -o remount,bind,nosuid /usr",
        end="warned",
        says="azureuser cannot become root: /usr/bin/sudo is on a file system that is mounted nosuid",
    ),
    Form(
        "a group for PAM that a jump goes by",
        "printf 'account [success=1 default=ignore] pam_succeed_if.so user ingroup wheel\\n"
        "account required pam_deny.so\\naccount required pam_permit.so\\n' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_succeed_if may keep azureuser out: user ingroup wheel",
    ),
    Form(
        "no rules of PAM at all",
        "rm -r /etc/pam.d /etc/pam.conf",
        end="warned",
        says="PAM has no rules for sshd: it lets nobody in",
    ),
    Form(
        "a limit for the owner's group",
        "echo '@root - nproc 0' >/etc/security/limits.conf; echo '@sudo - nproc 1' >/etc/security/limits.d/5.conf",
        end="warned",
        says="pam_limits may keep azureuser out: @sudo - nproc 1",
    ),
    Form(
        "AllowUsers from elsewhere",
        config("AllowUsers azureuser@10.0.0.0/8 ops"),
        end="warned",
        says="sshd's AllowUsers azureuser@10.0.0.0/8 may keep azureuser out, by where the connection comes from",
    ),
    Form("a time that is none", config("LoginGraceTime 5q"), end="refused", says="invalid time value"),
    Form(
        "a program for keys, and no user for it",
        config("AuthorizedKeysCommand /usr/bin/true"),
        end="refused",
        says="AuthorizedKeysCommand set without AuthorizedKeysCommandUser",
    ),
    Form(
        "AuthorizedKeysFile by what sshd does not know",
        config("AuthorizedKeysFile /etc/ssh/keys/%k .ssh/authorized_keys"),
        end="refused",
        says="sshd does not know %k (AuthorizedKeysFile /etc/ssh/keys/%k)",
    ),
    Form(
        "two keys are asked for",
        config("AuthenticationMethods publickey,publickey"),
        end="refused",
        says="AuthenticationMethods publickey,publickey",
    ),
    Form(
        "ciphers of yesterday",
        config("Ciphers aes128-cbc,3des-cbc"),
        end="warned",
        says="sshd offers nothing that clients of today take: Ciphers aes128-cbc,3des-cbc",
    ),
    Form(
        "an address that another machine has",
        config("ListenAddress 10.1.2.3"),
        end="warned",
        says="sshd listens to certain addresses alone (ListenAddress 10.1.2.3)",
    ),
    Form(
        "a shell file of the system's ends the shell",
        "echo exit | cat - /etc/bash.bashrc >/etc/x; mv /etc/x /etc/bash.bashrc",
        end="warned",
        says="/etc/bash.bashrc may end the shell of azureuser: it says exit",
    ),
    Form(
        "a PATH that nobody expands",
        "echo 'PATH=\"$PATH:/opt/bin\"' >/etc/environment",
        end="warned",
        says="/etc/environment leaves azureuser without programs: PATH=$PATH:/opt/bin",
    ),
    Form(
        "NSS does not look into the shadow file",
        "sed -i 's/^shadow:.*/shadow: sss/' /etc/nsswitch.conf",
        end="warned",
        says="nothing looks into /etc/shadow (shadow: sss in /etc/nsswitch.conf)",
    ),
    Form(
        "sudo wants a terminal of a group",
        "echo 'Defaults:%sudo requiretty' >/etc/sudoers.d/10-site",
        end="warned",
        says="azureuser cannot become root: sudo: sorry, you must have a tty to run sudo",
    ),
    Form(
        "sudo cannot keep what it shall",
        "echo 'Defaults log_output, iolog_dir=/proc/nowhere' >/etc/sudoers.d/10-site",
        end="warned",
        says="azureuser cannot become root: sudo: unable to mkdir /proc/nowhere",
    ),
    Form(
        "sudo makes another than root of a list",
        "echo 'Defaults:root,azureuser runas_default=nobody' >/etc/sudoers.d/10-site",
        end="warned",
        says="azureuser cannot become root: sudo makes 65534",
    ),
    Form(
        "sudo keeps what it does, and more",
        "echo 'Defaults:%sudo log_output, iolog_dir=/var/log/sudo-io, umask=0077' >/etc/sudoers.d/10-site",
    ),
    Form(
        "sudoers with a fault of its own, and no folder",
        "sed -i /includedir/d /etc/sudoers; echo nonsense >>/etc/sudoers",
        end="warned",
        says="/etc/sudoers stays as it is: visudo: exit 1",
    ),
    Form("sudoers is empty", ": >/etc/sudoers"),
    Form(
        "host keys that everybody may read",
        "chmod 644 /etc/ssh/ssh_host_*_key; chgrp sudo /etc/ssh/ssh_host_rsa_key; chmod 640 /etc/ssh/ssh_host_rsa_key",
        says="others could read /etc/ssh/ssh_host_rsa_key, and sshd would not use it: it has mode 600 from now on",
        after="find /etc/ssh -name 'ssh_host_*_key' -perm /077",
    ),
    Form(
        "a file of sshd's that leads nowhere",
        "ln -s /nowhere /etc/ssh/sshd_config.d/5.conf",
        end="refused",
        says="/etc/ssh/sshd_config.d/5.conf: No such file or directory",
    ),
    Form("no sshd_config", "rm /etc/ssh/sshd_config", end="refused", says="/etc/ssh/sshd_config: No such file or"),
    Form("a word too much", config("PermitRootLogin no yes"), end="refused", says="extra arguments at end of line"),
    Form(
        "a group for PAM before a password",
        "sed -i '1i auth required pam_succeed_if.so user ingroup wheel' /etc/pam.d/sshd",
        keys=(),
        password="s3cret",
        machine=WANTS_PASSWORD,
        end="warned",
        says="pam_succeed_if may keep azureuser out: user ingroup wheel",
    ),
    Form("the shell is a folder", f"{ACCOUNT}; usermod -s /etc azureuser", end="refused", says="/etc, is a folder"),
    Form("useradd makes no home", "echo CREATE_HOME no >>/etc/login.defs; echo USERGROUPS_ENAB no >>/etc/login.defs"),
    Form("useradd makes homes elsewhere", "echo HOME=/srv/people >>/etc/default/useradd"),
    Form(
        "useradd makes homes where nobody gets",
        "mkdir -m 700 /srv/p; echo HOME=/srv/p >>/etc/default/useradd",
        end="refused",
        says="azureuser cannot enter /srv/p, which has mode 700",
    ),
    Form(
        "useradd makes accounts that have expired",
        "echo EXPIRE=2001-01-01 >>/etc/default/useradd",
        end="refused",
        says="the account azureuser has expired",
    ),
    # what a first login meets: the shell's files, its environment, its libraries
    Form(
        "a shell file ends the shell in a function",
        first("/etc/skel/.bashrc", "f() {", "  [ -d /nowhere ] || exit 1", "}", "f"),
        end="warned",
        says="/home/azureuser/.bashrc may end the shell of azureuser: it says exit",
    ),
    Form(
        "a shell file has a function that ends the shell",
        first("/etc/skel/.bashrc", "f() {", "exit 1", "}"),
        after="ls /home/azureuser/.bash_history 2>/dev/null",  # the shell was tried: the owner sees nothing of it
    ),
    Form(
        "a shell file goes on with another shell, where it is there",
        first("/etc/skel/.bashrc", "if [ -x /bin/zsh ]; then", "  exec /bin/zsh", "fi", "exec 3>&2"),
    ),
    Form(
        "a shell file reads one that ends the shell",
        "echo exit 1 >/etc/site.sh; " + first("/etc/skel/.bashrc", ". /etc/site.sh"),
        end="warned",
        says="/home/azureuser/.bashrc may end the shell of azureuser: it says .",
    ),
    Form(
        "a file for login shells ends them",
        first("/etc/profile.d/site.sh", 'if [ "$(id -u)" -ne 0 ]; then', "  exit 1", "fi"),
        end="warned",
        says="/etc/profile.d/site.sh may end the shell of azureuser: it says exit",
    ),
    Form(
        "a file for login shells minds every failure",
        first("/etc/profile.d/site.sh", "set -e", "grep -q nobody-has-this /etc/hosts"),
        end="warned",
        says="/etc/profile.d/site.sh may end the shell of azureuser: it says set",
    ),
    Form(
        "PAM sets a PATH",
        "printf 'PATH \\\\\n  DEFAULT=${PATH}:/opt/bin\n' >>/etc/security/pam_env.conf",
        end="warned",
        says="/etc/security/pam_env.conf leaves azureuser without programs: PATH=:/opt/bin",
    ),
    Form("PAM sets a good PATH", "echo 'PATH DEFAULT=/opt/bin OVERRIDE=/usr/bin' >>/etc/security/pam_env.conf"),
    Form(
        "a library that is root's alone",
        "chmod 600 /lib/*-linux-*/libtinfo.so.6.*",
        end="refused",
        says="/libtinfo.so.6, which has mode 600",
    ),
    Form("sshd is no program", "chmod 644 /usr/sbin/sshd", end="refused", says="sshd does not start: it is no program"),
    Form(
        "others can write into the folder of sshd's own",
        "mkdir -p -m 777 /run/sshd; chmod 777 /run/sshd",
        says="others than root could write into /run/sshd, and sshd would not start",
    ),
    Form(
        "host keys with a passphrase",
        "ssh-keygen -q -t rsa -m PEM -N secret -f /etc/ssh/ssh_host_rsa_key; "
        "for k in ecdsa ed25519; do ssh-keygen -q -t $k -N secret -f /etc/ssh/ssh_host_${k}_key; done",
        after="for k in /etc/ssh/ssh_host_*_key; do ssh-keygen -y -P '' -f $k >/dev/null || echo $k; done",
    ),
    Form(
        "AuthorizedKeysFile in the home of the shell",
        config("AuthorizedKeysFile ~/.ssh/authorized_keys"),
        end="refused",
        says="sshd reads no keys from /root/.ssh/authorized_keys: azureuser cannot enter /root",
    ),
    Form(
        "a folder of keys below one that is root's alone",
        "mkdir -m 700 /srv/k; mkdir /srv/k/l; " + config("StrictModes no", "AuthorizedKeysFile /srv/k/l/%u"),
        end="refused",
        says="azureuser cannot enter /srv/k",
    ),
    Form(
        "sshd_config is a folder",
        "rm /etc/ssh/sshd_config; mkdir /etc/ssh/sshd_config",
        says="/etc/ssh/sshd_config is a folder: sshd reads nothing of it",
    ),
    Form(
        "sshd_config.d is a file",
        "rm -r /etc/ssh/sshd_config.d; : >/etc/ssh/sshd_config.d",
        after="sshd -T | grep -x 'passwordauthentication yes'",
    ),
    Form(
        "sshd_config.d is a link to nothing",
        "rm -r /etc/ssh/sshd_config.d; ln -s /nowhere /etc/ssh/sshd_config.d",
        after="sshd -T | grep -x 'passwordauthentication yes'",
    ),
    Form(
        "sudo makes root by a number, in words of its own",
        'printf \'Defaults runas_default="#0", secure_path="/a\\\\,b#c:/usr/bin"\n\' >/etc/sudoers.d/10-site',
        after="grep -c . /etc/sudoers.d/10-site | grep -v 1",
    ),
    # what two settings say together, lists, tables of others
    Form(
        "an exclamation mark in AllowUsers is a letter", config("AllowUsers !azureuser azure*", "AllowGroups !sudo *")
    ),
    Form(
        "no method at all",
        config("AuthenticationMethods none"),
        end="refused",
        says="sshd wants more than one way to log in (AuthenticationMethods none)",
    ),
    Form(
        "RSA keys by SHA-1",
        config("PubkeyAcceptedAlgorithms ssh-rsa"),
        keys=("RSA",),
        end="warned",
        says="sshd takes RSA keys by SHA-1 alone",
    ),
    Form(
        "codes of yesterday",
        config("Ciphers aes256-ctr", "MACs hmac-md5,hmac-sha1-96"),
        end="warned",
        says="sshd offers nothing that clients of today take: MACs hmac-md5,hmac-sha1-96",
    ),
    Form("codes of yesterday that nobody needs", config("MACs hmac-md5")),
    Form(
        "revoked keys in a folder",
        config("RevokedKeys /etc/ssh"),
        end="refused",
        says="sshd takes no keys: RevokedKeys /etc/ssh is no list of keys",
    ),
    Form(
        "revoked keys in a list of something else",
        "printf '# old\\n\\njunk\\n' >/etc/ssh/revoked; " + config("RevokedKeys /etc/ssh/revoked"),
        end="refused",
        says="sshd takes no keys: RevokedKeys /etc/ssh/revoked is no list of keys",
    ),
    Form(
        "a shell that is none",
        f"{ACCOUNT}; usermod -s /bin/cat azureuser",
        end="warned",
        says="the shell of azureuser, /bin/cat, runs no command",
    ),
    Form("hosts.deny, but for sshd", "echo 'ALL EXCEPT sshd: ALL' >/etc/hosts.deny"),
    Form("hosts.deny, and everything in hosts.allow", "echo ALL: ALL | tee /etc/hosts.deny >/etc/hosts.allow"),
    Form(
        "hosts.allow that denies",
        "echo 'sshd: ALL: deny' >/etc/hosts.allow",
        end="warned",
        says="/etc/hosts.allow may keep azureuser out: sshd: ALL: deny",
    ),
    Form(
        "hosts.allow that speaks of sshd in a comment",
        "echo ALL: ALL >/etc/hosts.deny; echo '# sshd: ALL' >/etc/hosts.allow",
        end="warned",
        says="/etc/hosts.deny may keep azureuser out: ALL: ALL",
    ),
    Form(
        "no limits.conf",
        "rm /etc/security/limits.conf",
        end="warned",
        says="pam_limits may keep azureuser out: /etc/security/limits.conf is not there",
    ),
    Form(
        "a limit that is a root folder",
        "echo '@sudo - chroot /nowhere' >>/etc/security/limits.conf",
        end="warned",
        says="pam_limits may keep azureuser out: @sudo - chroot /nowhere",
    ),
    Form(
        "PAM's variables with one that is not closed",
        "echo 'FOO DEFAULT=${x' >>/etc/security/pam_env.conf",
        end="warned",
        says="pam_env may keep azureuser out: FOO DEFAULT=${x",
    ),
    Form(
        "an access table that is not there",
        "echo 'account required pam_access.so accessfile=/nowhere' >>/etc/pam.d/sshd",
        end="warned",
        says="pam_access may keep azureuser out: /nowhere is not there",
    ),
    Form(
        "everybody writes to the table of shells",
        "echo 'account required pam_shells.so' >>/etc/pam.d/sshd; chmod 666 /etc/shells",
        end="warned",
        says="pam_shells may keep azureuser out: everybody can write to /etc/shells",
    ),
    Form(
        "a group of the owner's for PAM",
        "echo 'account required pam_succeed_if.so quiet user ingroup sudo' >>/etc/pam.d/sshd",
        after="grep -c . /etc/hostname | grep -v 1",
    ),
    Form("sudo is for a group of the owner's", "chgrp sudo /usr/bin/sudo; chmod 4750 /usr/bin/sudo"),
    Form(
        "sudo is for another group",
        "groupadd ops; chgrp ops /usr/bin/sudo; chmod 4750 /usr/bin/sudo",
        end="warned",
        says="azureuser may not run /usr/bin/sudo, which has mode 4750",
    ),
    Form(
        "/home is for another group",
        "groupadd ops; chgrp ops /home; chmod 750 /home",
        end="refused",
        says="azureuser cannot enter /home, which has mode 750",
    ),
    Form("root may not ask sudo", "echo 'Defaults !root_sudo, !secure_path' >/etc/sudoers.d/10-site"),
    Form(
        "sudoers is a folder",
        "rm /etc/sudoers; mkdir /etc/sudoers",
        end="warned",
        says="azureuser is not given sudo",
    ),
    Form(
        "sudoers.d is a file",
        "rm -r /etc/sudoers.d; : >/etc/sudoers.d",
        end="warned",
        says="azureuser is not given sudo",
    ),
    Form(
        "host keys from Windows",
        r"ssh-keygen -A; sed -i 's/$/\r/' /etc/ssh/ssh_host_*_key",
        after="for k in /etc/ssh/ssh_host_*_key; do ssh-keygen -y -P '' -f $k >/dev/null || echo $k; done",
    ),
    Form(
        "sshd's unit is masked",
        "ln -s /dev/null /etc/systemd/system/ssh.service",
        says="ssh.service is masked: sshd does not start by it",
    ),
    Form("no sshd, but its files", "rm /usr/sbin/sshd", end="warned", says="no sshd: nobody logs in over the network"),
    Form(
        "a shell file sets a PATH without programs",
        first("/etc/skel/.bashrc", "PATH=/nowhere"),
        end="warned",
        says="/home/azureuser/.bashrc may end the shell of azureuser: it says PATH=",
    ),
    Form(
        "a file for login shells leaves no memory",
        first("/etc/profile.d/site.sh", "ulimit -v 1000"),
        end="warned",
        says="/etc/profile.d/site.sh may end the shell of azureuser: it says ulimit",
    ),
    Form(
        "a file for login shells sets a limit", first("/etc/profile.d/site.sh", "ulimit -S -c 0", "PATH=$PATH:/opt/x")
    ),
)
