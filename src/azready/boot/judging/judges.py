"""Which judges there are, and what each runs. A judge is a command of the shell that finds the VM in its environment.

`lisa` is Microsoft's LISA (PyPI `mslisa[azure]`) on its `ready` platform: those of its image cases that need nothing
but ssh. `testinfra:FILE` is pytest-testinfra. Everything else is a command.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from azready.boot.judging.access import HOST, Access
from azready.errors import UsageFailure

LISA_CASES = (
    "smoke_test",
    "verify_default_targetpw",
    "verify_serial_console_is_enabled",
    "verify_bash_history_is_empty",
    "verify_client_active_interval",
    "verify_no_pre_exist_users",
    "verify_dhcp_client_timeout",
    "verify_network_file_configuration",
    "verify_udev_rules_moved",
    "verify_dhcp_file_configuration",
)
"""Of suites in `core`: azure_image_standard, dhcp and provisioning. None installs anything in the guest."""
LISA_DISK_CASES = (
    "verify_grub",
    "verify_essential_kernel_modules",
    "verify_floppy_module_is_blacklisted",
)
"""What a container does not have, a boot loader and a kernel of its own; one of the suite floppy."""


@dataclass(frozen=True)
class Judge:
    """A program of others that looks at the booted VM, and whose exit status is its judgement."""

    name: str
    command: str
    """For the shell; `Access.environment` is in its environment."""
    files: Mapping[str, Callable[[Access], str]]
    """What it finds in its folder besides, by name."""


def judge(word: str, kind: Literal["container", "qemu"]) -> Judge:
    """The judge that `--judge` names: `lisa`, `lisa:CASE,…`, `testinfra:FILE`, or a command. Raises UsageFailure."""
    name, colon, rest = word.partition(":")
    if name == "lisa" and (not colon or rest):
        wanted = rest.split(",") if rest else [*LISA_CASES, *(LISA_DISK_CASES if kind == "qemu" else ())]
        pattern = f"({'|'.join(wanted)})"
        return Judge("lisa", _LISA, {"judge.yml": lambda access: lisa_runbook(access, pattern)})
    if name == "testinfra" and colon and rest:
        tests = shlex.quote(rest)
        words = f'-m pytest -p no:cacheprovider --hosts=ssh://{HOST} --ssh-config="$AZREADY_SSH_CONFIG"'
        return Judge("testinfra", f'{_PYTHON} {words} --junitxml="$AZREADY_JUNIT" {tests}', {})
    try:
        program = next(iter(shlex.split(word)), "")
    except ValueError:
        program = ""
    if not program or word in ("testinfra", "lisa:", "testinfra:"):
        raise UsageFailure(f"--judge {word!r} names no judge", "lisa, lisa:CASE,CASE, testinfra:FILE, or a command")
    return Judge(program.rpartition("/")[2], word, {})


_PYTHON = '"${PYTHON:-python3}"'
_LISA = """set -e
lisa=$(command -v lisa) || {
    echo "lisa is not installed: pip install 'mslisa[azure]', and have it on PATH" >&2
    exit 127
}
python=$(sed -n '1s/^#!//p' "$lisa")
where='import importlib.util as u; print(u.find_spec("lisa").submodule_search_locations[0])'
suites=$($python -c "$where")/microsoft
cd "$AZREADY_FOLDER"
ln -sfn "$suites" suites
exec "$lisa" -r judge.yml -l logs -w work
"""


def lisa_runbook(access: Access, pattern: str) -> str:
    """LISA's runbook for a VM that is there already. It goes by the public address and port, 22 where none is named."""
    import json

    def quoted(text: str) -> str:
        return json.dumps(text)  # a string of JSON is one of YAML

    return f"""name: azready judge
extension: [suites/testsuites/core]
notifier: [{{type: junit}}]
environment:
  environments:
    - nodes:
        - type: remote
          address: {quoted(access.address)}
          port: {access.port}
          public_address: {quoted(access.address)}
          public_port: {access.port}
          username: {quoted(access.user)}
          private_key_file: {quoted(str(access.key))}
platform: [{{type: ready}}]
testcase: [{{criteria: {{name: {quoted(pattern)}}}}}]
"""
