"""What people write behind options that have a language of their own, and into `azready.toml` for them."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from azready import toml
from azready.cli import defaults, outputs
from azready.cli.app import VERBS
from azready.errors import Failure
from azready.fabric import faults, settings
from azready.fabric.machine import Machine
from azready.image.parts import additions
from azready.image.targets.shell import parse_address
from tests.fuzz import _bytes
from tests.fuzz._bytes import Reader

VM = Machine()
HERE = b"/etc/hostname"
FORMS = ("text", "json", "junit")
EVERY = {key: defaults.Option(key, key in ("skip", "fault", "set", "profile", "only")) for key in defaults.ALLOWED}


def _addition(option: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        return [*additions.described(additions.parse([(option, text)]))]

    return read


def _table(text: str) -> object:
    found = defaults.parse(toml.loads(text), Path("azready.toml"))
    return [defaults.for_command(found, [verb], EVERY) for verb in VERBS]


OPTIONS: Mapping[str, tuple[Callable[[str], object], tuple[bytes, ...]]] = {
    "--copy-in": (_addition("--copy-in"), (HERE + b":/etc/x", HERE + b":/srv/a:b/", b"/a:b:/c")),
    "--install": (_addition("--install"), (b"nginx,curl=7.1+b~2", b"/etc/x.deb", b"@group")),
    "--ssh-inject": (_addition("--ssh-inject"), (b"root:" + HERE, b"a:b:c")),
    "--run": (_addition("--run"), (b"echo 'a b' >/etc/x",)),
    "--output": (
        lambda text: outputs.parse(text.split(" "), FORMS),
        (b"json=/tmp/x", b"text", b"junit=/dev/null json", b"json=", b"json=/tmp/x text=/tmp/y"),
    ),
    "--fault": (faults.from_words, (b"service=imds,path=/metadata/instance*,attempts=1-3,status=503,delay=1.5,reset",)),
    "--set": (lambda text: settings.with_fields(VM, [text]), (b"name=a", b"tags={a = 'b'}", b"data_disks=[64]")),
    "ssh://": (parse_address, (b"ssh://me@host:22", b"ssh://me@[::1]:22", b"ssh://host")),
    "azready.toml": (_table, (b'profile = ["azure"]\nwaivers = "w.toml"\n[check]\nskip = "S01"\nfail-on = "error"\n',)),
}


def _as_argument(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """Arguments hold no zero byte; other bytes come as Python has them."""
    return lambda data: read(os.fsdecode(data.replace(b"\0", b"")))


def readers() -> dict[str, Reader]:
    """Each option by its name. What it refuses is a Failure, or what the system says of a file."""
    refuses = (Failure, OSError)
    made = {name: Reader(_as_argument(read), samples, refuses) for name, (read, samples) in OPTIONS.items()}
    table = made["azready.toml"]
    return {**made, "azready.toml": Reader(table.read, table.samples, (*refuses, ValueError))}


def campaign(seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader."""
    yield from _bytes.campaign(readers(), seed, runs)
