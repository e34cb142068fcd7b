"""For comparison only: the plain part of a first boot (no checks, no retries, no state) written in everyday style."""

import argparse
import http.client
import json
import logging
import socket
import subprocess
from pathlib import Path
from xml.etree import ElementTree

logging.basicConfig(level=logging.INFO)
argparse.ArgumentParser().parse_args()

imds = http.client.HTTPConnection("169.254.169.254", timeout=10)
imds.request("GET", "/metadata/instance?api-version=2021-08-01&extended=true", headers={"Metadata": "true"})
compute = json.loads(imds.getresponse().read())["compute"]
profile = compute["osProfile"]
user, home = profile["adminUsername"], Path("/home") / profile["adminUsername"]

subprocess.run(["useradd", "-m", "-s", "/bin/bash", "-G", "sudo,adm", user], check=True)
subprocess.run(["passwd", "-l", user], check=True, stdout=subprocess.DEVNULL)
(home / ".ssh").mkdir(mode=0o700)
keys = home / ".ssh/authorized_keys"
keys.write_text("".join(item["keyData"] + "\n" for item in compute["publicKeys"]))
keys.chmod(0o600)
subprocess.run(["chown", "-R", f"{user}:", str(home / ".ssh")], check=True)
rule = Path("/etc/sudoers.d/90-naive")
rule.write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
rule.chmod(0o440)
subprocess.run(["visudo", "-cqf", str(rule)], check=True)
socket.sethostname(profile["computerName"])
Path("/etc/hostname").write_text(profile["computerName"] + "\n")

wireserver = http.client.HTTPConnection("168.63.129.16", timeout=10)
headers = {"x-ms-version": "2012-11-30", "x-ms-agent-name": "naive"}
wireserver.request("GET", "/machine?comp=goalstate", headers=headers)
goal = ElementTree.fromstring(wireserver.getresponse().read())
body = (
    "<Health><GoalStateIncarnation>{}</GoalStateIncarnation><Container><ContainerId>{}</ContainerId><RoleInstanceList>"
    "<Role><InstanceId>{}</InstanceId><Health><State>Ready</State></Health></Role></RoleInstanceList></Container></Health>"
).format(goal.findtext("Incarnation"), goal.findtext(".//ContainerId"), goal.findtext(".//InstanceId"))
wireserver.request("POST", "/machine?comp=health", body, {**headers, "Content-Type": "text/xml; charset=utf-8"})
logging.info("reported: %s", wireserver.getresponse().status)
