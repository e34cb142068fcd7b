"""`prepare --report-only`: agents stay, azready reports; what cannot be silenced is refused by the plan."""

import shutil
from pathlib import Path

import pytest

from azready.errors import Failure, UsageFailure
from azready.image import preparation
from azready.image.actions import Write
from azready.image.facts import Facts
from azready.image.targets.tree import Tree
from tests.image.sample import Sample, good_image

AZURE = "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceAzure.py"
KNOWS = '    "experimental_skip_ready_report": False,\n'


@pytest.fixture
def image(tmp_path: Path) -> Sample:
    """A Debian without agents, with curl."""
    sample = good_image(tmp_path / "sample").write("usr/bin/curl", "", 0o755)
    shutil.rmtree(sample.root / "usr/lib/azure-provisioning")
    return sample


def cloud_init(image: Sample, source: str = AZURE, text: str = KNOWS) -> Sample:
    return image.write("usr/bin/cloud-init", "", 0o755).write(source, text)


def waagent(image: Sample) -> Sample:
    return image.write("usr/sbin/waagent", "", 0o755)


def planned(image: Sample, *silence: str) -> tuple[set[str], str]:
    """The files that would be written, and the notes."""
    with Tree(image.root) as files:
        plan = preparation.plan(Facts(files), preparation.Options(report_only=True, silence=silence))
    return {each.path for each in plan.actions if isinstance(each, Write)}, "\n".join(plan.notes)


CLOUD, WALA = "etc/cloud/cloud.cfg.d/99-azure-report.cfg", "usr/lib/tmpfiles.d/azure-report.conf"


def test_each_agent_is_silenced_by_its_own_file(image: Sample) -> None:
    waagent(cloud_init(image))
    both, said = planned(image, "cloud-init", "waagent")
    assert {CLOUD, WALA} <= both and "reports Ready by itself" not in said
    one, said = planned(image, "cloud-init")
    assert CLOUD in one and WALA not in one
    assert "waagent stays and reports Ready by itself: --silence waagent" in said and "cloud-init stays" not in said
    neither, said = planned(image)
    assert not {CLOUD, WALA} & neither and said.count("reports Ready by itself") == 2


def test_an_agent_that_no_package_brought_is_one(image: Sample) -> None:
    assert "no agent is in the image" in planned(image)[1]
    said = planned(waagent(image).write("var/log/cloud-init.log", "old\n"))[1]
    assert "waagent stays and reports Ready by itself" in said and "no agent" not in said and "cloud-init" not in said


@pytest.mark.parametrize("place", ["usr/local/lib/python3.13/dist-packages", "usr/lib64/python3.12/site-packages"])
def test_a_cloud_init_elsewhere_is_looked_into(image: Sample, place: str) -> None:
    cloud_init(image, f"{place}/cloudinit/sources/DataSourceAzure.py")
    assert CLOUD in planned(image, "cloud-init")[0]


def test_a_cloud_init_that_cannot_be_silenced_is_refused(image: Sample) -> None:
    cloud_init(image, text="BUILTIN_DS_CONFIG = {}\n")
    with pytest.raises(Failure, match="does not know experimental_skip_ready_report") as caught:
        planned(image, "cloud-init")
    assert caught.value.hint.startswith("install a newer one")


@pytest.mark.parametrize("agent", ["cloud-init", "waagent"])
def test_an_agent_that_is_not_there_is_refused(image: Sample, agent: str) -> None:
    """Its log or its settings are not the agent."""
    image.write("var/log/waagent.log", "old\n").write("etc/cloud/cloud.cfg", "users: []\n")
    with pytest.raises(Failure, match=f"the image has no {agent}") as caught:
        planned(image, agent)
    assert caught.value.hint == f"leave --silence {agent} out"


def test_others_than_these_two_are_refused(image: Sample) -> None:
    with pytest.raises(UsageFailure, match="--silence cannot be 'azure-init'"):
        planned(image, "azure-init")
