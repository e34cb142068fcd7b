"""The network model says what the programs themselves do: on made-up configurations, each program is asked, too.

The long campaign is `python -m tests.fuzz network`.
"""

from collections.abc import Callable

import pytest

from tests.image.network.configurations import MAKERS, jobs
from tests.image.network.real import Job, disagreements

COUNTS = {
    "networkd": 8,
    "netplan": 15,
    "ifupdown": 15,
    "ifupdown-ng": 12,
    "dhcpcd": 5,
    "connman": 3,
    "networkmanager": 4,
}
"""So many take about as long each."""
SEED = 7


@pytest.mark.long
@pytest.mark.parametrize("program", MAKERS)
def test_the_model_says_what_the_program_does(program: str, need: Callable[..., None]) -> None:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:unshare", "tool:ip")
    told = disagreements(jobs(program, SEED, COUNTS[program]))
    assert told == [], "\n\n".join(told)


@pytest.mark.long
def test_a_wrong_answer_is_seen(need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:unshare", "tool:ip")
    asking = {"etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n"}
    assert disagreements([Job("ifupdown", asking)]) == []
    monkeypatch.setattr("azready.image.facts.network.ifupdown._AT_BOOT", ())
    assert len(disagreements([Job("ifupdown", asking)])) == 1
