"""The options of a VM and of how the platform treats it: what `boot`, `fabric` and `fabric run` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from azready.cli import completion

if TYPE_CHECKING:
    from azready.fabric.settings import Given

MachineFile = Annotated[
    Path | None,
    typer.Option("--machine", envvar="AZREADY_MACHINE", metavar="FILE", help="TOML file that describes the VM."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A field of the VM, for example admin_username=me.",
        autocompletion=completion.machine_fields,
    ),
]
ScenarioName = Annotated[
    str | None,
    typer.Option(
        envvar="AZREADY_SCENARIO",
        metavar="NAME|FILE",
        help="Plan of faults; see azready fabric scenarios.",
        autocompletion=completion.scenarios,
    ),
]
FaultWords = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="KEY=VALUE,…",
        help="One fault: service=imds,path=*,attempts=1-3,status=503.",
        autocompletion=completion.faults,
    ),
]
Seed = Annotated[int | None, typer.Option(envvar="AZREADY_SEED", help="Repeats what faults draw by chance.")]
Strict = Annotated[
    bool | None,
    typer.Option("--strict/--no-strict", envvar="AZREADY_STRICT", help="Refuse what Azure may refuse (the default)."),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", envvar="AZREADY_SETTINGS", metavar="FILE", help="TOML file of settings.")
]


@dataclass(frozen=True, kw_only=True)
class VmOptions:
    """Which VM it is, and how the platform treats it."""

    machine: MachineFile = None
    set_: Set = None
    scenario: ScenarioName = None
    fault: FaultWords = None
    seed: Seed = None
    strict: Strict = None
    settings: SettingsFile = None

    @property
    def vm(self) -> "Given":
        """The same for the fabric, which reads the files and puts them together."""
        from azready.fabric.settings import Given

        return Given(self.machine, self.set_ or (), self.fault or (), self.scenario, self.seed, self.strict)
