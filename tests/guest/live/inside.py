"""Run by test_live.py inside bench.lab's namespaces: boots forms for real, logs in, and prints what came of it as JSON.

Nothing here asserts: each form's outcome is printed, and the test judges.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from azready.fabric.machine import Machine
from azready.fabric.protocol.media import ovf_env
from bench.lab import GUEST, LAUNCH, PATH, Lab, debian
from tests.guest.live.forms import FORMS, Form

PORT = 2222
IN = "logged-in-as"
ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}


def chroot(root: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A program in the tree. SIGPIPE is ignored, as systemd has it for every service."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace", "timeout": 60, **more}
    argv = ["chroot", str(root), *words]
    return subprocess.run(argv, env=ENVIRONMENT, check=False, restore_signals=False, **options)


@cache
def _made_keys(tree: Path) -> Path:
    """The owner's keys, made once by the tree's own ssh-keygen: an RSA key costs as much as all else of a boot."""
    made = Path(tempfile.mkdtemp(prefix="owner-", dir=tree / "srv"))
    for name, kind in (("KEY", "ed25519"), ("OTHER", "ed25519"), ("RSA", "rsa")):
        chroot(tree, "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "me", "-f", f"/srv/{made.name}/{name}")
    return made


def make_keys(root: Path, keys_of: Path) -> dict[str, str]:
    """The owner's keys, in the tree's /srv/owner: name in a form -> public key."""
    shutil.copytree(_made_keys(keys_of), root / "srv/owner")
    keys = {name: (root / f"srv/owner/{name}.pub").read_text().strip() for name in ("KEY", "OTHER", "RSA")}
    body = keys["RSA"].split()[1]
    keys["CUT"] = f"ssh-rsa {body[: len(body) // 8 * 4]} me"
    return keys


def filled(text: str, keys: dict[str, str]) -> str:
    for name in ("OTHER", "RSA", "CUT", "KEY"):
        text = text.replace(name, keys[name]) if name in text.split() or text.endswith(name) else text
    return text


def boot(form: Form, program: str, lab: Lab, root: Path, keys_of: Path) -> dict[str, Any]:
    """One first boot of the form, and a login."""
    keys = make_keys(root, keys_of)
    lab.install(root)
    (root / "usr/lib/azure-provisioning/provision.sh").write_bytes((GUEST / "provision.sh").read_bytes())
    if form.settings:
        (root / "etc/azure-provisioning.conf").write_text(form.settings)
    image = form.image.replace("OTHER", keys["OTHER"])
    made = chroot(root, "sh", "-c", f"set -e; {image}\n" if image else ":")
    fields = {"name": "web1", "admin_username": form.user, **form.machine}
    if form.password:
        fields["admin_password"] = form.password
    machine = Machine(**fields, public_keys=tuple(filled(key, keys) for key in form.keys))
    medium = root / "srv/medium"
    if form.password or form.medium_keys:
        medium.mkdir()
        of_medium = Machine(**fields, public_keys=tuple(filled(key, keys) for key in form.medium_keys or form.keys))
        (medium / "ovf-env.xml").write_text(ovf_env(of_medium))
    lab.fabric.restart(machine)
    if form.running:
        start_sshd(root, form.running)
    launch = LAUNCH if program == "py" else ["/bin/sh", "/usr/lib/azure-provisioning/provision.sh"]
    done = chroot(root, *launch, "--deadline=15", f"--medium={'/srv/medium' if medium.exists() else 'none'}")
    failed = lab.fabric.ledger.failed
    seen = {
        "image": made.stderr,
        "status": done.returncode,
        "said": done.stderr,
        "ready": bool(lab.fabric.ledger.ready),
        "told": failed.description if failed else "",
        "login": login(form, root),
    }
    seen["after"] = chroot(root, "sh", "-c", form.after).stdout if form.after else ""
    if form.after.startswith("chage"):  # time goes by
        seen["login"] = login(form, root)
    return seen


def start_sshd(root: Path, options: str) -> None:
    (root / "run/sshd").mkdir(exist_ok=True)
    chroot(root, "/usr/sbin/sshd", "-E", "/run/sshd.log", *options.split())
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 1):
            return
        time.sleep(0.02)


def await_reload(root: Path) -> None:
    """A running sshd that was told to reload listens again a moment later, and says so."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if "listening on" in (root / "run/sshd.log").read_text().partition("restarting.")[2]:
            return
        time.sleep(0.02)


def stop_sshd() -> None:
    """The sshd of this namespace: nobody else lives here."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == "sshd":
                os.kill(int(entry.name), signal.SIGKILL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", PORT), 1).close()
        except OSError:
            return
        time.sleep(0.02)


def who_got_in(printed: str) -> list[str]:
    """User and id of root, as our command printed them: what nologin says instead of running it is no login."""
    lines = (line.split() for line in printed.splitlines())
    return next((words[1:] for words in lines if words[:1] == [IN]), [])


def login(form: Form, root: Path) -> dict[str, Any]:
    """The owner comes, with the key or with the password, and wants to become root."""
    if form.running:
        await_reload(root)
    else:
        start_sshd(root, f"-p {PORT}")
    ask = root / "srv/ask"
    ask.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(form.password)}\n")
    ask.chmod(0o755)
    key = "RSA" if form.keys == ("RSA",) else "KEY"
    by_key = ["-i", f"/srv/owner/{key}", "-o", "IdentitiesOnly=yes", "-o", "PreferredAuthentications=publickey"]
    by_password = ["-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "NumberOfPasswordPrompts=1"]
    words = [
        *("ssh", "-n", "-F", "none", "-p", str(PORT), "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no"),
        *("-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5"),
        *(by_password if form.password else by_key),
        *(f"{form.user}@127.0.0.1", f"echo {IN} $(id -un) $(sudo -n id -u)"),
    ]
    asking = ["env", "SSH_ASKPASS=/srv/ask", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none"]
    done = chroot(root, *asking, *words, timeout=30)
    log = root / "run/sshd.log"
    seen = {"who": who_got_in(done.stdout), "error": done.stderr, "log": log.read_text() if log.exists() else ""}
    stop_sshd()
    return seen


def main(program: str, names: list[str]) -> None:
    outcomes = {}
    debian_tree = debian("bookworm", "curl")
    with Lab(Machine(name="web1")) as lab, lab.tree(debian_tree) as keys_of:
        for form in FORMS:
            if form.name in names:
                with lab.tree(debian_tree) as root:
                    outcomes[form.name] = boot(form, program, lab, root, keys_of)
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
