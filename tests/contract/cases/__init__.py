"""The cases of the contract, by subject."""

from tests.contract.case import Case
from tests.contract.cases import (
    access,
    accounts,
    data,
    keys,
    media,
    names,
    passwords,
    platform,
    provisiondata,
    reporting,
    security,
    state,
    usage,
)

CASES: list[Case] = [
    *names.CASES,
    *accounts.CASES,
    *access.CASES,
    *keys.CASES,
    *passwords.CASES,
    *data.CASES,
    *media.CASES,
    *platform.CASES,
    *provisiondata.CASES,
    *reporting.CASES,
    *security.CASES,
    *state.CASES,
    *usage.CASES,
]
