"""What can be wrong with a guest's requests: one table of codes, so that documents and tests can list them all."""

from dataclasses import dataclass

from azready.fabric.ledger import Finding, Severity


@dataclass(frozen=True)
class Kind:
    """One thing a guest can do wrong; `message` is filled with facts by `found`."""

    severity: Severity
    message: str
    fix: str


KINDS = {
    "http-malformed": Kind(
        "error", "sent what is not HTTP/1.1: {fault}", "send a request line, a Host header and a right Content-Length"
    ),
    "http-host": Kind("warning", "sent no Host header", "HTTP/1.1 demands one; the platform's front end may refuse"),
    "wire-unknown-path": Kind(
        "error",
        "asked the WireServer for {method} {target}, which it does not know",
        "ask for /machine?comp=goalstate, post to /machine?comp=health or /provisioning/health",
    ),
    "hostplugin-unknown-path": Kind(
        "error",
        "asked the HostGAPlugin for {method} {target}, which it does not know",
        "ask for /versions or /vmSettings, and put /status or /vmAgentLog; name an artifact in x-ms-artifact-location",
    ),
    "wire-method": Kind("error", "sent {method} to {target}, which takes {allowed}", "use {allowed}"),
    "wire-no-version": Kind(
        "error", "sent {method} {target} without x-ms-version", "send the header x-ms-version: 2012-11-30"
    ),
    "wire-version": Kind(
        "error", "asked with x-ms-version {version!r}, which is not supported", "use one of /?comp=versions: 2012-11-30"
    ),
    "wire-content-type": Kind(
        "warning",
        "posted with Content-Type {found!r}",
        "send Content-Type: {wanted}; real front ends may refuse others",
    ),
    "wire-no-agent-name": Kind(
        "note", "posted without {header}", "name your agent in {header}: Azure's support finds it in its logs"
    ),
    "wire-stale-link": Kind(
        "warning",
        "asked for {target}, which the current goal state does not link to",
        "follow the links of the newest goal state",
    ),
    "health-malformed": Kind("error", "posted a health report that cannot be read: {fault}", "post {wanted}"),
    "health-incomplete": Kind(
        "error", "posted a health report without {element}", "post every element of the documented form"
    ),
    "health-path": Kind(
        "error",
        "put {element} in the wrong place of the health report ({found})",
        "the form is Health/Container/RoleInstanceList/Role/Health/State; note Role, not RoleInstance",
    ),
    "health-container": Kind(
        "error", "reported for container {found!r}, but this is {wanted!r}", "echo ContainerId of the newest goal state"
    ),
    "health-instance": Kind(
        "error", "reported for instance {found!r}, but this is {wanted!r}", "echo InstanceId of the newest goal state"
    ),
    "health-incarnation": Kind(
        "error",
        "reported for incarnation {found!r}, but the goal state has {wanted!r}",
        "echo Incarnation of the newest goal state; never hard-code 1",
    ),
    "health-state": Kind("error", "reported the state {found!r}", "use Ready or NotReady"),
    "health-substatus": Kind(
        "error",
        "reported NotReady with the sub-status {found!r}",
        "use Provisioning while at work, ProvisioningFailed at the end",
    ),
    "health-no-description": Kind(
        "warning", "reported failure without a description", "say why: it is all that the VM's owner will see"
    ),
    "health-too-long": Kind(
        "error",
        "sent a description of {length} characters after escaping",
        "the platform takes 4096: shorten it before escaping",
    ),
    "health-case": Kind("note", "wrote the state as {found!r}", "write Ready and NotReady as documented"),
    "health-unasked": Kind(
        "warning",
        "posted a health report without asking for a goal state first",
        "get the goal state, and echo its ids and its incarnation",
    ),
    "health-again": Kind(
        "note", "reported Ready again", "once is enough: the VM is known to be provisioned since {since:.2f} s"
    ),
    "health-after-ready": Kind(
        "warning",
        "reported {state} {substatus} after the VM was known to be provisioned",
        "report Ready only when every step has succeeded",
    ),
    "role-properties": Kind("error", "posted role properties that cannot be used: {fault}", "post {wanted}"),
    "msp-unsigned": Kind(
        "error",
        "asked the {service} for {target}, but {fault}",
        "with the Metadata Security Protocol an image needs the Guest Proxy Agent, and its provisioning program waits "
        "for it: azure-proxy-agent --status --wait 120; 401 means not yet",
    ),
    "msp-audit": Kind(
        "note",
        "asked the {service} for {target}, which would be refused under enforce: {fault}",
        "an image needs the Guest Proxy Agent before the mode becomes enforce",
    ),
    "provisiondata": Kind(
        "note",
        "asked for /provisiondata, which is not served: {fault}",
        "it is a proposal: a guest falls back to the medium after 400, and gives up after 404",
    ),
    "certificates-header": Kind(
        "error",
        "asked for certificates without a usable transport certificate: {fault}",
        "send the certificate's base64 body in x-ms-guest-agent-public-x509-cert",
    ),
    "too-big": Kind("error", "sent a body of {size} bytes", "the fabric takes 1 MiB"),
    "imds-no-header": Kind(
        "error", "asked IMDS without the header Metadata: true", "send Metadata: true with every request"
    ),
    "imds-probe": Kind(
        "note",
        "asked IMDS for an identity without the header Metadata: true",
        "nothing to mend if it only looks whether IMDS is there, as Azure's SDKs do; for a token send Metadata: true",
    ),
    "imds-forwarded": Kind(
        "error", "asked IMDS through a proxy (X-Forwarded-For is set)", "bypass every proxy for 169.254.169.254"
    ),
    "imds-version": Kind(
        "error", "asked IMDS for api-version {found!r}", "use one that this category knows, for example {known}"
    ),
    "imds-discovery": Kind(
        "note",
        "asked IMDS without an api-version",
        "nothing to mend if it wants to learn the newest ones from the refusal, as ohai does; else give one",
    ),
    "imds-duplicate": Kind("error", "gave the parameter {name!r} twice", "give every query parameter once"),
    "imds-format": Kind("error", "asked IMDS for {target} as {found}", "a leaf wants format=text, a tree json or text"),
    "imds-unknown-path": Kind("warning", "asked IMDS for {target}, which does not exist", "walk the tree of /metadata"),
    "imds-absent": Kind(
        "note", "asked IMDS for {target}, which this machine does not have", "on Azure it would get the same 404"
    ),
    "imds-method": Kind("error", "sent {method} to IMDS", "use {allowed}"),
    "imds-rate": Kind(
        "warning",
        "sent more than {rate} requests in one second to IMDS",
        "ask once for the whole document, and wait a second after 429",
    ),
    "imds-parameter": Kind("error", "asked {target} without {name}", "give the parameter {name}"),
    "imds-identity": Kind(
        "note",
        "asked for a token, which this machine cannot give: {fault}",
        'give the machine one: identity = ["system"], or the client id of a user-assigned identity',
    ),
    "imds-event": Kind("warning", "started events that were not announced: {fault}", "echo EventId of the document"),
    "imds-reprovision": Kind(
        "note",
        "asked for reprovisiondata, which only a pre-provisioned VM has",
        "PPS is not offered to this machine; serve it with reprovision = true",
    ),
    "kvp-record": Kind("error", "left a KVP record that Hyper-V cannot carry: {fault}", "{wanted}"),
    "kvp-report": Kind("warning", "left no usable PROVISIONING_REPORT in KVP: {fault}", "{wanted}"),
    "dhcp-hostname": Kind(
        "note",
        "sent the host name {found!r} with DHCP, but the machine is {wanted!r}",
        "Azure's DNS takes the name of the lease: set the host name before asking, or renew after",
    ),
}


def found(at: float, code: str, **facts: object) -> Finding:
    """A finding of a known kind; a code that is not in the table is a mistake of ours, and raises KeyError."""
    kind = KINDS[code]
    return Finding(at, code, kind.severity, kind.message.format(**facts), kind.fix.format(**facts))
