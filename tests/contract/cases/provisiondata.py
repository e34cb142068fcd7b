"""A proposal: hosts without media serve what they would hold. Asked for only with PROVISIONDATA=auto."""

from typing import Any

from azready.fabric.faults import Fault
from azready.fabric.protocol.media import ovf_env
from tests.contract.case import GOAL, HEALTH, IMDS, STATE, Case, File, machine, provisioned
from tests.contract.cases.data import copy

BUSY = Fault(service="wireserver", path="/provisiondata*", status=503, attempts="1-2", headers=(("Retry-After", "0"),))
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
BLANK = Fault(service="wireserver", path="/provisiondata*", swap=((DECLARATION, " \t\r\n"),))
AUTO = "PROVISIONDATA=auto\nREQUIRE_CUSTOM_DATA=yes\n"
DATA = {f"{STATE}/custom-data": File("data\n", 0o600)}
REPORTED = (f"{GOAL} 200", f"{HEALTH} 200")
SERVED = {"": 404, "/customData": 200, "/adminPassword": 200}
FORMS = {"secrets": SERVED, "ovf": {"": 200}, "json": {"": 200}}


def asked(**answers: int) -> tuple[str, ...]:
    """The requests of a VM whose WireServer gives these answers below /provisiondata."""
    wire = [f"wireserver GET /provisiondata{path}?api-version=2026-01-01 {status}" for path, status in answers.items()]
    return (f"{IMDS} 200", *wire, *REPORTED)


def custom(**fields: Any) -> Any:
    return machine(custom_data="data\n", **fields)


CASES = [
    *(
        Case(
            f"no medium, and the WireServer has its content in the form {form}",
            machine=custom(provisiondata=form),
            settings=AUTO,
            changes={**provisioned(), **DATA},
            requests=asked(**answers),
            everywhere=form == "json",
        )
        for form, answers in FORMS.items()
    ),
    Case(
        "the WireServer has the medium's content, and is not asked for it",
        machine=custom(provisiondata="ovf"),
        medium=ovf_env(custom()),
        settings=AUTO,
        changes={**provisioned(), **DATA, **copy(custom())},
    ),
    Case(
        "the WireServer has the medium's content, behind blank lines and without a declaration",
        machine=custom(provisiondata="ovf"),
        settings=AUTO,
        faults=(BLANK,),
        changes={**provisioned(), **DATA},
        requests=asked(**{"": 200}),
        everywhere=True,
    ),
    Case(
        "the WireServer has the medium's content later",
        machine=custom(provisiondata="json"),
        settings=AUTO,
        faults=(BUSY,),
        changes={**provisioned(), **DATA},
        requests=(f"{IMDS} 200", *[asked(**{"": status})[1] for status in (503, 503, 200)], *REPORTED),
    ),
    Case(
        "a host of today, and no medium",
        machine=machine(),
        settings="PROVISIONDATA=auto\n",
        changes=provisioned(),
        requests=asked(**{"": 400}),
    ),
]
