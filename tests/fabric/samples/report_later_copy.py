"""A later copy of the published Python sample, by its description: it looks for the instance where there is none.

The goal state has RoleInstance; looking for Role finds nothing, nothing is posted, and the exit status is 0.
"""

import http.client
import sys
from urllib.parse import urlsplit
from xml.etree import ElementTree

server = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(server.hostname, server.port)
connection.request("GET", "/machine?comp=goalstate", headers={"x-ms-version": "2012-11-30"})
goal_state = ElementTree.fromstring(connection.getresponse().read())
if goal_state.find("./Container/RoleInstanceList/Role/InstanceId") is not None:
    raise SystemExit("never reached: no goal state has such an element")
