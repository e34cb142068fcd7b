"""Images and VMs of careful owners: the Metadata Security Protocol, read-only parts, custom data that must come."""

from azready.fabric.faults import Fault
from azready.fabric.protocol.media import ovf_env
from tests.contract.case import (
    GOAL,
    HEALTH,
    IMDS,
    STATE,
    USUAL,
    Case,
    File,
    begun,
    failed,
    machine,
    provisioned,
)
from tests.contract.cases.data import copy

AUDITED = machine(msp="imds=audit")
AGENT = {"usr/sbin/azure-proxy-agent": File("#!/bin/sh\n", 0o755)}
CUSTOM = machine(custom_data="data\n")
REPORTED = (f"{GOAL} 200", f"{HEALTH} 200")

CASES = [
    Case(
        "the VM wants signed requests, and the image has nobody who signs",
        machine=AUDITED,
        medium=ovf_env(AUDITED),
        exit=1,
        commands=(),
        changes=begun(),
        requests=REPORTED,
        report=failed("azure-proxy-agent not found", "error=the VM wants signed requests (ProvisionGuestProxyAgent)"),
        everywhere=True,
    ),
    Case(
        "with signed requests 401 means not yet",
        machine=AUDITED,
        medium=ovf_env(AUDITED),
        tree=AGENT,
        faults=(Fault(service="imds", status=401, attempts="1-2"),),
        changes={**provisioned(), **copy(AUDITED)},
        requests=(f"{IMDS} 401", f"{IMDS} 401", *USUAL),
    ),
    Case(
        "without signed requests 401 is for good",
        machine=CUSTOM,
        medium=ovf_env(CUSTOM),
        faults=(Fault(service="imds", status=401),),
        changes={**provisioned(), **copy(CUSTOM), f"{STATE}/custom-data": File("data\n", 0o600)},
        requests=(f"{IMDS} 401", *REPORTED),
    ),
    Case(
        "custom data that must come and does not",
        machine=CUSTOM,
        settings="REQUIRE_CUSTOM_DATA=yes\n",
        exit=1,
        commands=(),
        changes=begun(),
        report=failed("failure to read customData while hasCustomData=true"),
    ),
    Case(
        "custom data that must come and does",
        machine=CUSTOM,
        medium=ovf_env(CUSTOM),
        settings="REQUIRE_CUSTOM_DATA=yes\n",
        changes={**provisioned(), **copy(CUSTOM), f"{STATE}/custom-data": File("data\n", 0o600)},
    ),
    Case("no custom data, and none must come", settings="REQUIRE_CUSTOM_DATA=yes\n", changes=provisioned()),
]
