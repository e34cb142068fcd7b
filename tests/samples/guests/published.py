"""Report ready the way the published sample does, habits included.

One GET, one POST, no time limit, no second try; the incarnation is 1; nobody looks at the answer; it always exits 0.
"""

import http.client
from xml.etree import ElementTree

WIRESERVER = "168.63.129.16"
HEADERS = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "custom-provisioning"}


def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(WIRESERVER)
    connection.request(method, path, body, {**HEADERS, **headers})
    response = connection.getresponse()
    return response.status, response.read().decode()


def main():
    _, text = ask("GET", "/machine?comp=goalstate")
    goal = ElementTree.fromstring(text)
    container = goal.findtext("./Container/ContainerId")
    instance = goal.findtext("./Container/RoleInstanceList/RoleInstance/InstanceId")
    print("ContainerId:", container)
    print("InstanceId:", instance)
    body = (
        "<Health><GoalStateIncarnation>1</GoalStateIncarnation><Container>"
        f"<ContainerId>{container}</ContainerId><RoleInstanceList><Role><InstanceId>{instance}</InstanceId>"
        "<Health><State>Ready</State></Health></Role></RoleInstanceList></Container></Health>"
    )
    status, _ = ask("POST", "/machine?comp=health", body, **{"Content-Type": "text/xml;charset=utf-8"})
    print("Response:", status)


try:
    main()
except (OSError, http.client.HTTPException, ElementTree.ParseError) as error:
    print("not reported:", error)
