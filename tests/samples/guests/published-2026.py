"""Report ready as a later copy of the published sample does: it looks for the instance where there is none.

The goal state has RoleInstanceList/RoleInstance; the health report has RoleInstanceList/Role. This mixes them up, finds
nothing, posts nothing, and exits 0.
"""

import http.client
from xml.etree import ElementTree

HEADERS = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "custom-provisioning"}


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("168.63.129.16")
    connection.request(method, path, body, HEADERS)
    return connection.getresponse().read().decode()


goal = ElementTree.fromstring(ask("GET", "/machine?comp=goalstate"))
container = goal.findtext("./Container/ContainerId")
instance = goal.findtext("./Container/RoleInstanceList/Role/InstanceId")
incarnation = goal.findtext("./Incarnation")
print("ContainerId:", container)
print("InstanceId:", instance)
if container and instance and incarnation:
    ask(
        "POST",
        "/machine?comp=health",
        f"<GoalState><Health><GoalStateIncarnation>{incarnation}</GoalStateIncarnation></Health></GoalState>",
    )
