"""What is taken as it is, is what Typer would have made of it; the rest is left to Typer, and so are its messages."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from azready.cli import values


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def _seen(monkeypatch: pytest.MonkeyPatch, spared: bool, *words: str) -> tuple[int, str]:
    """Exit code and what a command saw of its options, by our way or by Typer's alone."""
    if values._BUILD is not None:
        monkeypatch.setattr(typer.core, "build_runtime_param", values._Sparing if spared else values._BUILD)
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    def command(
        argument: Annotated[Path, typer.Argument()] = Path("default"),
        text: str = "",
        maybe: str | None = None,
        number: Annotated[int, typer.Option(min=1, max=9)] = 2,
        seconds: float | None = None,
        yes: bool = False,
        colour: Colour = Colour.RED,
        several: list[Colour] = [Colour.BLUE],  # noqa: B006
        texts: list[str] | None = None,
        word: Literal["auto", "kvm"] = "auto",
        folder: Annotated[Path | None, typer.Option(file_okay=False)] = None,
    ) -> None:
        seen: dict[str, Any] = {**locals()}
        print({name: (type(value).__name__, value) for name, value in seen.items() if name != "app"})

    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "words",
    [
        "",
        "given --text x --maybe y --number 9 --seconds 2 --yes --colour blue --word kvm",
        "--several red --several blue --texts a --texts b --folder /",
        "--number 10",
        "--number 0",
        "--number two",
        "--number ２",
        "--seconds soon",
        "--colour green",
        "--several green",
        "--word tcg",
        f"--folder {__file__}",
    ],
)
def test_options_are_seen_as_by_typer_alone(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _seen(monkeypatch, True, *words.split()) == _seen(monkeypatch, False, *words.split())
