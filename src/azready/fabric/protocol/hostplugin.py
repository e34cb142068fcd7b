"""The HostGAPlugin, 168.63.129.16 port 32526: what WALinuxAgent asks of it (common/protocol/hostplugin.py).

`/versions` and `/health` answer; `/vmSettings` says that it is not supported (404), whereupon the agent uses the
goal state's ExtensionsConfig. Its status and its logs are taken and dropped. `/extensionArtifact` fetches for the guest
from elsewhere, and there is no elsewhere: 404.
"""

from azready.fabric.ledger import Ledger
from azready.fabric.machine import Machine
from azready.fabric.protocol.findings import found
from azready.fabric.protocol.messages import Answer, Request, Response, Rules, text

ROUTES = (
    ("GET", "/versions", "API versions"),
    ("GET", "/health", "answers 200"),
    ("GET", "/vmSettings", "404: not supported, the goal state's documents are to be used"),
    ("PUT", "/status", "an agent's status, accepted and dropped"),
    ("PUT", "/vmAgentLog", "an agent's logs, accepted and dropped"),
    ("GET", "/extensionArtifact", "404: there is nothing to fetch"),
)


def answer(request: Request, machine: Machine, ledger: Ledger, rules: Rules) -> Answer:
    """Answer one request to the HostGAPlugin."""
    match request.method, request.path:
        case "GET", "/versions":
            return Answer(text(200, '["2015-09-01"]', "application/json"))
        case (("GET" | "POST"), "/health"):
            return Answer(Response(200))
        case "GET", "/vmSettings":
            return Answer(Response(404))
        case "PUT", ("/status" | "/vmAgentLog"):
            return Answer(Response(200))
        case "GET", "/extensionArtifact":
            if request.header("x-ms-artifact-location"):
                return Answer(Response(404))
    note = found(request.at, "hostplugin-unknown-path", method=request.method, target=request.target)
    return Answer(Response(404), (note,))
