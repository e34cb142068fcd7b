"""How often a login is tried: a key that is refused is refused; a connection that ends may be QEMU's doing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from azready.boot.watching import login
from azready.fabric.machine import Machine

MACHINE = Machine(name="vm1", admin_username="me")
ANSWER = f"printf '{login.BEGINS}\\nvm1\\nme\\nsudo works\\n'"


def instead_of_ssh(folder: Path, said: str) -> Callable[[Sequence[str | Path]], list[str | Path]]:
    """An ssh that fails twice with these words, and notes each try."""
    tries = folder / "tries"
    script = f"echo x >>{tries}; [ $(wc -l <{tries}) -gt 2 ] && {ANSWER} && exit; echo '{said}' >&2; exit 255"
    return lambda words: ["sh", "-c", script]


@pytest.mark.parametrize(
    ("said", "tries", "outcome"),
    [
        ("me@10.1.0.4: Permission denied (publickey).", 1, "failed"),
        ("Connection closed by 127.0.0.1 port 2222", 3, "passed"),
        ("kex_exchange_identification: Connection closed by remote host", 3, "passed"),
        ("ssh: connect to host 10.1.0.4 port 22: Connection refused", 3, "passed"),
    ],
)
def test_a_login_is_tried_again_until_somebody_refuses_it(
    said: str, tries: int, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Callable[..., None]
) -> None:
    need("tool:ssh")
    monkeypatch.setattr(login, "_REFUSED", 0.0)
    with login.throwaway_key() as key:
        checks = login.check_login(instead_of_ssh(tmp_path, said), key, MACHINE, lambda: 1.0, patience=60.0)
    assert len((tmp_path / "tries").read_text().split()) == tries
    assert checks[0].outcome == outcome
