"""A test of somebody's own agent against the local Azure: `pip install azready pytest`, then `pytest`.

The fixture `azure_fabric` comes with azready. Here the agent is curl in a shell script; put yours in its place.
"""

import subprocess

AGENT = r"""
set -eu
wire=$1
goal=$(curl -sf -H x-ms-version:2012-11-30 "$wire/machine?comp=goalstate")
part() { printf %s "$goal" | sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" | head -1; }
curl -sf -H x-ms-version:2012-11-30 -H 'Content-Type: text/xml;charset=utf-8' -d "<Health>
  <GoalStateIncarnation>$(part Incarnation)</GoalStateIncarnation>
  <Container><ContainerId>$(part ContainerId)</ContainerId><RoleInstanceList><Role>
    <InstanceId>$(part InstanceId)</InstanceId><Health><State>Ready</State></Health>
  </Role></RoleInstanceList></Container></Health>" "$wire/machine?comp=health"
"""


def test_the_agent_reports_ready(azure_fabric):
    subprocess.run(["sh", "-c", AGENT, "agent", azure_fabric.wireserver_url], check=True)
    verdict = azure_fabric.verdict(deadline=5)
    assert verdict.provisioned, verdict
    assert not [finding for finding in verdict.findings if finding.severity == "error"]


def test_an_agent_that_says_nothing_times_out(azure_fabric):
    assert azure_fabric.verdict(deadline=0.2).code == "OSProvisioningTimedOut"
