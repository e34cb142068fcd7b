"""Agents that nobody here wrote, as Debian packages them, provision on our fabric, and it finds no fault with them.

What is changed for them: waagent.conf names waagent as the one that provisions (Debian's names cloud-init, which is
not there), and all that makes a container look like Azure (identity.disguise) lies in /run or over systemd's own tool.
`eject` is installed because waagent dies without it. waagent runs on ifupdown alone here: beside networkd it may start
before the lease, then asks for one itself, and waits in vain on the port that networkd holds.

Every finding here would be a fault of the fabric or of theirs; the one that remains, a note, is true of every image
that asks for its lease before it knows its name. waagent of bookworm is the one that fetches certificates.
"""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from azready.boot.container.tree import boot_tree
from azready.boot.drawing.agent_report import agents, asked
from azready.boot.series import Plan
from azready.fabric import Machine
from azready.pipelines import trees

KNOWN = {"dhcp-hostname"}
AGENTS = (
    pytest.param("trixie", "waagent", "ifupdown", "WALinuxAgent/2.12", id="waagent-trixie-ifupdown"),
    pytest.param("trixie", "cloud-init", "ifupdown", "Cloud-Init/25.1", id="cloud-init-trixie-ifupdown"),
    pytest.param("sid", "waagent", "ifupdown", "WALinuxAgent/2.", id="waagent-sid-ifupdown"),
    pytest.param("sid", "cloud-init", "networkd", "Cloud-Init/2", id="cloud-init-sid-networkd"),
    pytest.param("bookworm", "cloud-init and netplan", "networkd", "Cloud-Init/22.4", id="cloud-init-bookworm-netplan"),
)


@pytest.fixture(scope="session")
def agent_tree(
    need: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, str, trees.Network], Path]:
    need("root", "tool:mmdebstrap", "tool:zstd", "tool:ssh")
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def make(suite: str, agent: str, network: trees.Network) -> Path:
        if agent == "cloud-init":
            return trees.unpacked(suite, ("cloud-init",), network)
        root = shared / f"{agent.replace(' ', '-')}-{suite}-{network}"
        with (shared / f"{root.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.exists() and "netplan" in agent:
                # As Ubuntu's images: no profile but what cloud-init writes, which names the card by its MAC address.
                trees.unpack(trees.tree(suite, ("cloud-init", "netplan.io"), network), root)
                for profile in root.glob("etc/systemd/network/*"):
                    profile.unlink()
            elif not root.exists():
                trees.unpack(trees.tree(suite, ("waagent", "eject"), network), root)
                config = root / "etc/waagent.conf"
                text = config.read_text()
                assert "Provisioning.Agent=cloud-init" in text, "the package does not wait for cloud-init any more"
                config.write_text(text.replace("Provisioning.Agent=cloud-init", "Provisioning.Agent=auto"))
        return root

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "agent", "network", "name"), AGENTS)
def test_a_packaged_agent_provisions_on_the_fabric(
    agent_tree: Callable[[str, str, trees.Network], Path],
    suite: str,
    agent: str,
    network: trees.Network,
    name: str,
) -> None:
    machine = Machine(name="vm-of-agents", admin_username="someone")
    (record,) = boot_tree(agent_tree(suite, agent, network), machine, Plan(boots=1, deadline=100.0))
    told = "\n".join(line.text for line in record.journal[-40:])
    assert record.verdict.provisioned, f"{record.verdict}\n{told}"
    assert {check.name: check.outcome for check in record.checks} == {
        "ssh login": "passed",
        "host name": "passed",
        "sudo": "passed",
    }
    assert any(each.startswith(name) for each in agents(record)), agents(record)
    assert {finding.code for finding in record.findings} <= KNOWN, record.findings
    refused = [key for key in asked(record) if (key[3] or 500) >= 400 and key[2] != "/vmSettings"]
    assert not refused


@pytest.mark.slow
def test_waagent_fetches_its_certificates_and_takes_extensions(
    agent_tree: Callable[[str, str, trees.Network], Path],
) -> None:
    machine = Machine(name="vm-with-certs", certificates=True, provision_guest_agent=True)
    tree = agent_tree("bookworm", "waagent", "ifupdown")
    (record,) = boot_tree(tree, machine, Plan(boots=1, deadline=100.0))
    assert record.passed, record.checks
    assert any(each.startswith("WALinuxAgent/2.7") for each in agents(record)), agents(record)
    targets = {target for _, _, target, _ in asked(record)}
    assert any("comp=certificates" in target for target in targets)
    assert any("extensionsConfig" in target for target in targets)
    assert {finding.code for finding in record.findings} <= KNOWN, record.findings
