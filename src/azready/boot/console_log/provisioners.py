"""Causes from the network to the health report. The words are those of cloud-init, walinuxagent, azure-init, DHCP
clients, Python, the published sample, and azready's own programs.
"""

import re

from azready import agents
from azready.boot.console_log.findings import Ask, Words
from azready.boot.console_log.reading import Boot
from azready.boot.console_log.system import UP, wait_online
from azready.boot.record import Cause

PROVISIONED = (
    r"Datasource DataSourceAzure\b.*Up|"
    r"\bProvisioning (?:already )?complete\b|Provisioning already completed|ExtHandler .*(?:Goal State Period|"
    r"HeartBeat|"
    r"agent .*is running as the goal state agent|ProcessExtensionsInGoalState)|"
    r"Provisioned \S+ in [\d.]+ s: reported Ready|"
    r"[Pp]rovisioning (?:finished|completed) successfully|"
    r"[Rr]eport(?:ed|ing)? [Rr]eady.*(?:200|succe|accepted)|[Ss]uccessfully reported (?:ready|provisioning)|"
    r"afterburn.*(?:checked in|check-in: success)|Finished afterburn-checkin"
)
"""What agents write once the platform knows: this VM was provisioned."""

_AGENT = agents.ANY + r"|INFO Daemon|ignition|\bazure-\w+|provision(?:ing|er)?[\w.-]*\.service"
_NAMED = rf"(?:{agents.ANY})\S*"
"""A unit or a program of an agent."""

_UDF = (
    r"Module udf not found|[Uu]nknown filesystem type 'udf'|udf.*(?:blacklist|install /bin/(?:true|false))|"
    r"/dev/sr0 was not mountable|[Ff]ailed to (?:mount|get) (?:the )?(?:dvd|provisioning media)|"
    r"Error mounting dvd|dvd device.*not (?:found|mounted)|Failed to mount.*sr0|mount: .*sr0.*unknown filesystem|"
    r"No DVD device|Could not find (?:the )?(?:dvd|provisioning) |CopyOvfEnv.*(?:fail|error|not)"
)


def _no_medium(boot: Boot) -> Cause | None:
    seen = boot.find(_UDF)
    if not seen:
        return None
    module = boot.find(r"Module (?:udf|cdrom|sr_mod|isofs) not found|[Uu]nknown filesystem type|blacklist")
    return Cause(
        "no-medium",
        "the provisioning DVD cannot be mounted"
        + (": the kernel's udf module is kept out or missing" if module else ""),
        tuple(dict.fromkeys((*module, *seen)))[:3],
        "let udf, cdrom and sr_mod load again: take the lines out of /etc/modprobe.d (hardening such as CIS 1.1.1 must "
        "leave udf on Azure) and rebuild the initramfs (`azready check`: K07, K08)",
    )


_NO_LEASE = (
    r"failure to obtain DHCP lease|Failed to obtain DHCP lease|No DHCPOFFERS received|no lease, (?:failing|forking)|"
    r"No working leases in persistent database|Unable to obtain (?:a )?DHCP lease|DHCP lease acquisition failed|"
    r"dhcp4 \(\w+\): (?:request timed out|state changed \S+ -> (?:timeout|fail))|DHCPv4 (?:client: )?(?:Failed|"
    r"timed out)|"
    r"udhcpc: no lease|dhcpcd.*timed out|Failed to acquire DHCP|InvalidDHCPLeaseFileError|NoDHCPLease|"
    r"dhclient.*(?:not found|No such file)|Unable to find a DHCP client|No DHCP client found"
)
_NO_ADDRESS = r"ci-info: \|\s+e\w+\s*\|\s*(?:True|False)\s*\|\s*\.\s*\|\s*\.\s*\|"
_LEASE = (
    r"bound to \d|DHCPACK|lease of \d|DHCPv4 address [\d.]+|ci-info: \|\s+e\w+\s*\|\s*True\s*\|\s*\d+\.|"
    r"dhcp4 \(\w+\):\s+(?:address|state changed .*-> bound)"
)


def _no_lease(boot: Boot) -> Cause | None:
    seen = boot.find(_NO_LEASE) or (() if boot.has(_LEASE) else boot.find(_NO_ADDRESS))
    if not seen or boot.last(_LEASE) > boot.last(_NO_LEASE):
        return None
    if boot.has(r"dhclient.*(?:not found|No such file)|DHCP client.*(?:not found|No)|No DHCP client found"):
        says = "the provisioner finds no DHCP client in the image"
    else:
        says = "the guest asked for an address and got none"
    return Cause(
        "no-lease",
        says,
        seen,
        "is the DHCP client that this agent uses in the image (dhclient, dhcpcd, udhcpc), and does no firewall, "
        "policy or "
        "second DHCP client stand in its way? It must ask for 300 s (`azready check`: N06, N09)",
    )


def _no_network_card(boot: Boot) -> Cause | None:
    if boot.has(_LEASE):
        return None
    named = boot.find(
        r"has different MAC address than expected|[Dd]evice (?:eth|en)\w+ does not (?:seem to be present|exist)|"
        r"Cannot find device \"?e|SIOCGIFFLAGS: No such device|interface (?:eth|en)\w+ (?:not found|does not exist)|"
        r"[Tt]imed out waiting for device .*(?:net-|subsystem-net)|could not find (?:the )?(?:primary )?(?:interface|"
        r"nic)|"
        r"Not all expected physical devices present|rename_device|"
        r"Failed to start .*(?:Raise network interfaces|LSB: Bring up/down networking)"
    )
    if named:
        return Cause(
            "network-not-matching",
            "the network configuration names a card that this VM does not have",
            named,
            "name no MAC address and no builder's interface: match en* eth* or the driver hv_netvsc (`azready check`: "
            "N02, N04)",
        )
    if boot.has(UP) and boot.whole and boot.has(r"hv_vmbus: ") and not boot.has(r"hv_netvsc|\beth0\b|mana "):
        waits = boot.find(r"wait-online|[Nn]etwork.*(?:FAILED|Failed|timeout)")
        if waits:
            return Cause(
                "no-network-driver",
                "no network card appeared: the kernel has no hv_netvsc",
                waits,
                "install the package with all kernel modules, and do not keep hv_netvsc out (`azready check`: K03, "
                "K07)",
            )
    return None


_PLATFORM = r"health report|168\.63\.129\.16|169\.254\.169\.254|IMDS|[Ww]ire ?[Ss]erver|metadata service|goal ?state"
_UNREACHED = (
    r"[Tt]imed out|[Tt]ime-?out|No route to host|Network is unreachable|Connection refused|"
    r"Operation not permitted|Permission denied|not responding|unreachable|Max retries exceeded|Connection reset|"
    r"[Cc]onnection (?:failed|error)|ConnectTimeout|ConnectionError|giving up|[Ff]ailed to (?:get|fetch|reach|connect)"
)

_REACHED = (
    r"\bResponse: 200\b|\b(?:IMDS|goal state): 200\b|\bIncarnation: \d|Wire protocol version:|"
    r"Reported failure to|reported (?:as )?failed|Provisioning failed: (?!.*not reported)"
)
"""What is said when the platform has answered: what went wrong before that was a beginning, no cause."""


_NETWORK_LOST = Words(
    "network-lost",
    "the agent took the network down to publish the host name, and did not get it up again",
    r"failed to restart (?:eth|en)\w+|\bifup: failed to bring up|ifdown (?:eth|en)\w+ && ifup.*return code: \[1\]",
    "`ifdown eth0 && ifup eth0` must work twice; or let waagent leave it (Provisioning.MonitorHostName=n), or "
    "`azready prepare`, which does without",
)


def _platform_not_reached(boot: Boot) -> Cause | None:
    both = rf"(?:{_PLATFORM}).*(?:{_UNREACHED})|(?:{_UNREACHED}).*(?:{_PLATFORM})"
    of_python = rf"urlopen error .*(?:{_UNREACHED})"
    refused = rf"(?:{_PLATFORM}).*\b(?:40[0-9]|410|429|50[0-9])\b.*(?:[Ee]rror|failed|Forbidden|Gone|Unavailable)"
    lines = boot.find(both) or boot.find(of_python) or boot.find(refused)
    if not lines or boot.last(_REACHED) > boot.last(f"{both}|{of_python}|{refused}"):
        return None
    firewall = boot.find(r"Operation not permitted|Permission denied|REJECT|nft(?:ables)?|iptables|firewalld|\bDROP\b")
    if firewall and boot.has(r"Operation not permitted|Permission denied|DROP|REJECT"):
        return Cause(
            "firewall",
            "a firewall or a prohibited route in the image keeps the guest from the platform",
            tuple(dict.fromkeys((*lines[:2], *firewall[:1]))),
            "let root reach 168.63.129.16 (80, 32526) and 169.254.169.254 (80), DHCP and DNS (`azready check`: N09, "
            "N10)",
        )
    if boot.has(r"[Pp]roxy.*(?:169\.254|168\.63)|(?:169\.254|168\.63).*[Pp]roxy|Tunnel connection failed|\b407\b"):
        return Cause(
            "proxy",
            "a proxy of the image catches what is meant for the platform",
            lines,
            "add no_proxy=168.63.129.16,169.254.169.254 (`azready check`: N12)",
        )
    no_route = boot.find(r"No route to host|Network is unreachable")
    return Cause(
        "platform-not-reached",
        "the guest has no address, or no route to the platform"
        if no_route
        else "the guest asks the platform, and gets no answer",
        tuple(dict.fromkeys((*lines, *no_route)))[:3],
        "the DHCP client must take the routes that Azure offers, and no firewall, proxy, policy route or network "
        "rule may "
        "stand before 168.63.129.16 and 169.254.169.254 (`azready check`: N09, N12, N14)",
    )


_DID_NOT_RUN = Words(
    "agent-failed",
    "the provisioner's unit did not run",
    r"azure-provisioning: the provisioning unit did not run: ",
    "the lines before say why: its interpreter, its path, its time limit; or boot the image with `azready boot`, "
    "which shows its log",
)
"""What is told in the place of our program; a network that is not up yet when it is told is no cause."""


def _waits_for_cloud_init(boot: Boot) -> Cause | None:
    """walinuxagent leaves the work to cloud-init. Whether that runs, its own lines say."""
    seen = boot.find(
        r"Using cloud-init for provisioning|Waiting for cloud-init to copy|cloud-init does not appear to be running|"
        r"Running CloudInit provisioning handler",
    )
    if not seen or not boot.has(r"cloud-init does not appear to be running|Waiting for cloud-init to copy"):
        return None
    if boot.has(
        r"cloud-init\[\d+\]|Cloud-init v\.|Started .*[Cc]loud-init|Starting .*[Cc]loud-init|Finished .*cloud-init"
    ):
        return None
    return Cause(
        "not-enabled",
        "walinuxagent leaves provisioning to cloud-init, and no cloud-init runs in this image",
        (*boot.find(r"cloud-init does not appear to be running", limit=1), *seen[:2]),
        "install and enable cloud-init with the Azure datasource, or let walinuxagent provision "
        "(Provisioning.Agent=waagent in /etc/waagent.conf); or `azready prepare`, which needs neither",
    )


def _traceback(boot: Boot) -> Cause | None:
    number = next((n for n, line in enumerate(boot.lines) if "Traceback (most recent call last)" in line), -1)
    if number < 0 or boot.has(r"DataSourceNotFoundException|urlopen error"):
        return None
    speaker = re.match(r"\S*?([\w.-]+)\[\d+\]:", boot.lines[number])
    around = " ".join(boot.lines[max(0, number - 4) : number + 25])
    if not re.search(_AGENT + r"|azurelinuxagent|cloudinit|/walinuxagent|sources/azure", around):
        return None
    last = ""
    for line in boot.lines[number + 1 : number + 60]:
        if re.search(r"(?:^|: |\s)[A-Za-z_.]*(?:Error|Exception|Interrupt|Exit|Failure)\b(?::|$)", line):
            last = line
            break
    who = (
        "cloud-init"
        if re.search(r"cloud-?init", around, re.I)
        else "walinuxagent"
        if "azurelinuxagent" in around
        else ""
    )
    who = who or (speaker[1] if speaker else "the provisioner")
    return Cause(
        "agent-crashed",
        f"{who} crashed",
        (boot.lines[number], *((last,) if last else ())),
        "the last line says why: a Python module or version that the agent does not support is the usual reason; "
        "`azready prepare` replaces agents by a program that needs the standard library alone, or none at all",
    )


_REASONS = (
    (r"DHCP lease", "no-lease", "is the DHCP client that cloud-init uses in the image (dhclient, dhcpcd)?"),
    (
        r"find (?:primary )?DHCP interface",
        "no-network-driver",
        (
            "hv_netvsc must be in the kernel or its modules, and the first card must be eth0: let nothing rename it "
            "(`azready check`: K03, N04)"
        ),
    ),
    (
        r"(?:connection|http|timeout).*IMDS|querying IMDS",
        "platform-not-reached",
        "no firewall, proxy or route may stand before 169.254.169.254 (`azready check`: N09, N12, N14)",
    ),
    (r"ovf-env|parsing|metadata", "medium-malformed", "compare the agent's version with one that Azure endorses"),
    (r"proxy.?agent", "no-proxy-agent", "install azure-proxy-agent (GuestProxyAgent), or create the VM without MSP"),
    (r"unhandled exception", "agent-crashed", "the traceback in the log says why; update or replace the agent"),
)
"""Reasons of cloud-init's structured failure reports, the code that says the same, and what to do."""


def _structured(boot: Boot) -> Cause | None:
    """cloud-init's report of a failure: `result=error|reason=...`. The last one counts: it may try again."""
    line = next((each for each in reversed(boot.lines) if re.search(r"result=error\|reason=", each)), "")
    if not line:
        return None
    told = re.sub(r".*reason=([^|]+).*", r"\1", line).strip()
    for pattern, code, fix in _REASONS:
        if re.search(pattern, told, re.IGNORECASE):
            return Cause(code, f"cloud-init gave up: {told}", (line,), fix)
    return None


def _reported_failure(boot: Boot) -> Cause | None:
    seen = boot.find(
        r"Provisioning failed: |reported (?:as )?failed|ProvisioningFailed|Reported failure to|"
        r"Azure datasource failure occurred: |result=error\|reason=|provisioning failed with|ProvisionError|"
        r"ERROR Daemon .*Provisioning (?:failed|error)|\[ProvisioningError\]"
    )
    if not seen:
        return None
    reason = re.search(r"reason=([^|]+)|Provisioning failed: (.+)", " ".join(seen))
    told = f": {(reason[1] or reason[2]).strip()}" if reason else ""
    return Cause(
        "reported-failure",
        f"the guest itself gave up provisioning{told}"[:200],
        seen,
        "the guest says why: fix that in the image",
    )


_RULES_BY_WORDS: tuple[Ask, ...] = (
    Words(
        "two-provisioners",
        "walinuxagent refuses to provision because cloud-init is enabled too",
        r"cloud-init appears to be installed and enabled",
        "keep one: set Provisioning.Agent, or `azready prepare`, which removes the agents",
    ),
    Words(
        "medium-malformed",
        "the provisioner cannot read what is on the provisioning medium",
        r"ovf-env(?:\.xml)?.*(?:[Pp]arse|[Ii]nvalid|malformed|not well-formed|[Mm]issing|not found in)|"
        r"Broken(?:AzureDataSource)?|BrokenAzureDataSource|NonAzureDataSource|"
        r"(?:unexpected metadata|failure to (?:parse|read) .*ovf)",
        "the VM was not made with an OS profile, or the agent does not know this form: compare the agent's version "
        "with "
        "one that Azure endorses",
    ),
)


def _no_datasource(boot: Boot) -> Cause | None:
    seen = boot.find(
        r"Datasource DataSourceNone|DataSourceNone\b|Used fallback datasource|No instance datasource found|"
        r"no datasource found|DataSourceNotFoundException|"
        r"ds-identify.*(?:no datasource|not found|disabled)|Did not find any data source"
    )
    if not seen:
        return None
    return Cause(
        "no-datasource",
        "cloud-init did not use the Azure datasource: it never spoke to the platform, and nobody reports the VM ready",
        seen,
        "datasource_list: [ Azure ] in /etc/cloud/cloud.cfg.d, with none after it that overrides it; nothing may hide "
        "the chassis asset tag from ds-identify (`azready check`: P01)",
    )


_OFF: tuple[Ask, ...] = (
    Words(
        "not-enabled",
        "cloud-init is switched off in this image",
        r"[Cc]loud-init (?:is )?disabled|cloud-init-generator.*disabled|Cloud-init target.*(?:skipped|disabled)|"
        r"cloud-init=disabled|ConditionPathExists=!/etc/cloud/cloud-init\.disabled",
        "take /etc/cloud/cloud-init.disabled and cloud-init=disabled away, or put another provisioner in "
        "(`azready check`: P01)",
    ),
    Words(
        "not-enabled",
        "the provisioner's unit is masked or skipped",
        _NAMED + r"\.service.*(?:is masked|was skipped|"
        r"skipped because|condition check (?:failed|resulted))|Condition check resulted in .*(?:cloud-init|Azure)",
        "unmask and enable it; a condition that does not hold in Azure (ConditionVirtualization, a stamp of the VM "
        "that "
        "the image was made from) must go (`azready check`: P01)",
    ),
    Words(
        "agent-crashed",
        "the provisioner could not be started",
        rf"(?:{agents.ANY}|provision).*(?:status=203/EXEC|"
        r"Failed at step|status=127|Unable to locate executable|command not found|No such file or directory|"
        r"bad interpreter)|(?:python3?: (?:can't open file|No module named)|env: .?python3?.?: No such)",
        "is its interpreter in the image, and its path right? `azready prepare` needs Python's standard library, or no "
        "Python at all (--guest sh)",
    ),
    Words(
        "agent-failed",
        "the provisioner's unit failed",
        rf"(?:FAILED.*Failed to start|Failed to start|failed with result).*(?:{agents.ANY}|[Cc]loud-Init|"
        r"[Aa]zure[ -][Pp]rovision)|" + _NAMED + r"\.service: (?:Failed with|Main process exited)",
        "its own lines say why: journalctl -u on the machine, or boot the image with `azready boot`, which shows them",
    ),
)


_ASKED_AND_SILENT = Words(
    "waits-for-platform",
    "the provisioner waits for the platform: this VM comes from a pool and was never handed over",
    r"Waiting for (?:ReprovisionData|reprovision)|reprovisiondata.*(?:404|[Ww]ait)|ppsType|"
    r"PreprovisionedVM.*[Tt]rue",
    "that is the platform's affair: create the VM again",
)
"""Pre-provisioning and agents that wait for what does not come."""


def _no_provisioner(boot: Boot) -> Cause | None:
    """The system is up, its services are shown, and none of them provisions."""
    services = boot.find(r"^\[ *OK *\]|^ ?\* Starting |\[ ok \]", limit=8)
    complete = boot.has(
        r"Reached target (?:.*Multi-User System|multi-user\.target|graphical\.target)|^ ?\* Starting local"
    )
    if not complete or len(services) < 5 or boot.has(_AGENT + r"|report_ready|HealthReport|ContainerId:"):
        return None
    login = boot.find(r"^[\w.-]+ login:", limit=1) or boot.find(UP, limit=1)
    return Cause(
        "no-provisioner",
        "the system comes up whole, and no provisioner that is known shows itself in it: nobody reports the VM ready",
        login,
        "put a provisioner into the image (`azready prepare`, cloud-init or walinuxagent, enabled), or deploy it as a "
        "specialized disk, which needs none",
    )


RULES: tuple[Ask, ...] = (
    _structured,
    *_RULES_BY_WORDS,
    _waits_for_cloud_init,
    _no_medium,
    _no_lease,
    _no_network_card,
    _traceback,
    _NETWORK_LOST,
    _DID_NOT_RUN,
    _platform_not_reached,
    _ASKED_AND_SILENT,
    _no_datasource,
    _reported_failure,
    *_OFF,
    wait_online,
    _no_provisioner,
)
