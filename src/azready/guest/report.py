#!/usr/bin/python3 -IS
"""Tell Azure how the first boot of this VM goes: Ready, failed and why, or still at work. It does nothing else.

  report.py [--wait-for UNIT [--every S]]   Ready; with UNIT: once that is up, or at once that it failed, and why
  report.py --in-progress [--every S]       still at work: once, or every S seconds until the deadline
  report.py --failed TEXT                   provisioning failed, and why
  also: --deadline S (1200: of the wait, and of the report), --wireserver HOST[:PORT], --platform azure (ask no DMI)
A VM is reported once: $STATE_DIRECTORY/reported names it. Exit: 0 accepted or nothing to do, 2 not accepted, 64 usage.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from xml.etree import ElementTree
from xml.sax.saxutils import escape

AGENT = "azure-report/0.1.0"
ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"  # the chassis asset tag of every VM of Azure
XML = {"x-ms-version": "2012-11-30", "x-ms-agent-name": AGENT, "Content-Type": "text/xml; charset=utf-8"}
JSON = {"x-ms-guest-agent-name": AGENT, "Content-Type": "application/json"}
IDS = ("Incarnation", "Container/ContainerId", "Container/RoleInstanceList/RoleInstance/InstanceId")
NO_GOAL_STATE = (400, 403, 404, 405, 501)  # these answers mean: not in this way


class Refused(Exception):
    """An answer that is no success; `wait` is what its Retry-After says, in seconds."""

    def __init__(self, text, status=0, wait=""):
        Exception.__init__(self, text)
        self.status, self.wait = status, min(int(wait), 120) if wait.isdigit() else 0


TROUBLE = (OSError, http.client.HTTPException, ElementTree.ParseError, Refused)


def ask(server, method, path, headers, body=None):
    """One request, never through a proxy. Returns the body of a 2xx answer."""
    connection = http.client.HTTPConnection(server, timeout=5)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read(1 << 20)
    if not 200 <= answer.status < 300:
        raise Refused("%d %s" % (answer.status, answer.reason), answer.status, answer.getheader("Retry-After", ""))
    if answer.length or b"<!DOCTYPE" in text:
        raise Refused("the answer is not whole, or not plain")
    return text


def goal_state(server):
    """Incarnation, container and instance as they are at this moment: all three may change from one try to the next."""
    goal = ElementTree.fromstring(ask(server, "GET", "/machine?comp=goalstate", XML))
    values = [escape((goal.findtext(path) or "").strip()) for path in IDS]
    if not all(values):
        raise Refused("the goal state is not complete yet")
    return values


def post(server, patient, state, substatus, text):
    """One try: in XML, for the goal state; in JSON, which needs none, where there is none or patience is at its end."""
    try:
        goal = goal_state(server)
    except TROUBLE as error:
        if patient and getattr(error, "status", 0) not in NO_GOAL_STATE:
            raise
        details = {"details": {"subStatus": substatus, "description": text}} if substatus else {}
        return ask(server, "POST", "/provisioning/health", JSON, json.dumps(dict(state=state, **details)).encode())
    details = "<Details><SubStatus>%s</SubStatus><Description>%s</Description></Details>" % (substatus, escape(text))
    body = (
        "<Health><GoalStateIncarnation>%s</GoalStateIncarnation><Container><ContainerId>%s</ContainerId>"
        "<RoleInstanceList><Role><InstanceId>%s</InstanceId><Health><State>%s</State>%s</Health></Role>"
        "</RoleInstanceList></Container></Health>"
    ) % tuple(goal + [state, details if substatus else ""])
    return ask(server, "POST", "/machine?comp=health", XML, body.encode())


def report(options, state, substatus="", text="", once=False):
    """Report, again and again until the platform accepts or the deadline has come. Returns whether it accepted."""
    text = "".join([c if c.isprintable() else " " for c in text[:800]])  # escaped, 4,096 may be sent
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            post(options.wireserver, time.monotonic() < began + min(60, options.deadline / 4), state, substatus, text)
            say("reported " + " ".join([state, substatus, text]).strip())
            return True
        except TROUBLE as error:
            say("not reported yet: %s" % (error or type(error).__name__))
            wait, pause = max(pause, getattr(error, "wait", 0)), min(pause * 1.5, 5)
        if once or time.monotonic() + wait > began + options.deadline:
            return False
        time.sleep(wait)


def work(options):
    """Say every S seconds that work goes on, until the unit is up, has failed, or the deadline. Returns why not."""
    until = time.monotonic() + options.deadline
    await_unit = ["/bin/sh", os.path.dirname(os.path.abspath(__file__)) + "/await-unit", options.wait_for]
    while True:
        seconds = max(1, min(options.every or 60, int(until - time.monotonic())))
        known = subprocess.check_output((await_unit if options.wait_for else ["sleep"]) + [str(seconds)])
        if known or time.monotonic() + 1 > until:
            known = known.decode("utf-8", "replace").strip() or "%s is not up in time" % options.wait_for
            return None if known == "up" else known
        report(options, "NotReady", "Provisioning", "waiting for " + (options.wait_for or "the end"), once=True)


def line_of(path):
    try:
        return open(path, errors="replace").readline().strip()
    except OSError:
        return ""


def say(text):
    print("azure-report: " + text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.error = lambda text: sys.exit(say(text) or 64)
    for name in ("deadline", "every", "failed", "wait-for", "wireserver", "platform"):
        parser.add_argument("--" + name, type=int if name in ("deadline", "every") else str)
    parser.add_argument("--in-progress", action="store_true")
    words = "\0".join(sys.argv).replace("\0--failed\0", "\0--failed=").split("\0")  # the reason may begin with a dash
    options = parser.parse_args(words[1:], argparse.Namespace(deadline=1200, wireserver="168.63.129.16"))
    elsewhere = options.platform != "azure" and line_of("/sys/class/dmi/id/chassis_asset_tag") != ASSET_TAG
    vm = line_of(os.environ.get("CREDENTIALS_DIRECTORY", "/sys/class/dmi/id") + "/product_uuid").replace("unknown", "")
    mark = os.environ.get("STATE_DIRECTORY", "/nonexistent") + "/reported"
    if elsewhere or vm and line_of(mark) == vm:
        say("%s: nothing to do" % ("not on Azure" if elsewhere else "VM %s is reported already" % vm))
        return 0
    if options.in_progress:
        accepted = report(options, "NotReady", "Provisioning", "still at work", once=True)
        if options.every:
            work(options)
        return 0 if accepted else 2
    failure = work(options) if options.wait_for else options.failed
    if failure is not None:
        return 0 if report(options, "NotReady", "ProvisioningFailed", failure.strip() or "no reason was given") else 2
    accepted = report(options, "Ready")
    if accepted and vm and os.path.isdir(os.path.dirname(mark)):
        open(mark, "w").write(vm + "\n")
    return 0 if accepted else 2


if __name__ == "__main__":
    sys.exit(main())
