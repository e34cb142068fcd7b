"""The published Python sample, written anew from its description: report ready with the goal state's own ids.

As published it tries once, and does not look at what the platform answers. Argument: the WireServer's URL.
"""

import http.client
import sys
from urllib.parse import urlsplit
from xml.etree import ElementTree

server = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(server.hostname, server.port)
connection.request("GET", "/machine?comp=goalstate", headers={"x-ms-version": "2012-11-30"})
goal_state = ElementTree.fromstring(connection.getresponse().read())
container, instance, incarnation = (
    goal_state.findtext(path)
    for path in (
        "./Container/ContainerId",
        "./Container/RoleInstanceList/RoleInstance/InstanceId",
        "./Incarnation",
    )
)
health = ElementTree.Element("Health")
ElementTree.SubElement(health, "GoalStateIncarnation").text = incarnation
where = ElementTree.SubElement(health, "Container")
ElementTree.SubElement(where, "ContainerId").text = container
role = ElementTree.SubElement(ElementTree.SubElement(where, "RoleInstanceList"), "Role")
ElementTree.SubElement(role, "InstanceId").text = instance
ElementTree.SubElement(ElementTree.SubElement(role, "Health"), "State").text = "Ready"
headers = {
    "x-ms-version": "2012-11-30",
    "x-ms-agent-name": "custom-provisioning",
    "Content-Type": "text/xml;charset=utf-8",
}
connection.request("POST", "/machine?comp=health", ElementTree.tostring(health), headers)
answer = connection.getresponse()
print("Response:", answer.status, answer.reason)
