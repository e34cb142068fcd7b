"""Which of two versions is newer, as the boot loaders see it that sort their entries by it.

Sources: rpmvercmp(7) for GRUB's blscfg, which sorts the names of boot loader entries so; the UAPI group's Version
Format Specification for systemd-boot.
"""

import re
from functools import cmp_to_key
from itertools import zip_longest

_RPM_PART = re.compile("~|\\^|[0-9]+|[A-Za-z]+")


def compare_rpm(one: str, other: str) -> int:
    """Negative, zero or positive: runs of digits by number, of letters by text, `~` before the end, `^` after it."""
    mine, yours = _RPM_PART.findall(one), _RPM_PART.findall(other)
    pairs = zip_longest(mine, yours, fillvalue="")
    return next((order for a, b in pairs if (order := _compare_parts(a, b))), 0)


def _compare_parts(a: str, b: str) -> int:
    """An empty part is the end of a version. 0: what comes behind them decides."""
    if a == b:
        return 0
    for sign, found in (("~", -1), ("^", 1)):
        if sign in (a, b):
            rest = b if a == sign else a
            # Against the end of the other `^` is newer; against anything that goes on it is older.
            order = found if sign == "~" or not rest else -1
            return order if a == sign else -order
    if not a or not b:
        return 1 if a else -1
    if a.isdigit() != b.isdigit():
        return 1 if a.isdigit() else -1
    if a.isdigit():
        return (_value(a) > _value(b)) - (_value(a) < _value(b))
    return 1 if a > b else -1


def compare_names(one: str, other: str) -> int:
    """As GRUB's blscfg compares `TOKEN-VERSION-RELEASE`: token, version and release, each for itself."""
    mine, yours = _split(one), _split(other)
    return next((order for pair in zip(mine, yours, strict=True) if (order := compare_rpm(*pair))), 0)


def _split(name: str) -> tuple[str, str, str]:
    rest, _, release = name.rpartition("-")
    token, _, version = rest.rpartition("-")
    return token, version, release


def compare_uapi(one: str, other: str) -> int:
    """Negative, zero or positive, by the rules of the specification, section "Version Comparison"."""
    a, b = one, other
    while True:
        a, b = _without_others(a), _without_others(b)
        order, a, b = _sign("~", a, b)
        if order:
            return order
        if not a or not b:
            return bool(a) - bool(b)
        for sign in "-^.":
            order, a, b = _sign(sign, a, b)
            if order:
                return order
        order, a, b = _leading(a, b)
        if order:
            return order


def _sign(sign: str, a: str, b: str) -> tuple[int, str, str]:
    """The one that has the sign, where the other has not, is older; where both have it, it is taken off."""
    mine, yours = a.startswith(sign), b.startswith(sign)
    return yours - mine, a[1:] if mine and yours else a, b[1:] if mine and yours else b


def _without_others(text: str) -> str:
    return re.sub(r"^[^A-Za-z0-9~\-^.]+", "", text)


def _leading(a: str, b: str) -> tuple[int, str, str]:
    """Compare the number that both begin with, where either does, else the word; and what follows."""
    if a[:1].isdecimal() or b[:1].isdecimal():
        mine, yours = _head(r"[0-9]*", a), _head(r"[0-9]*", b)
        order = (_value(mine) > _value(yours)) - (_value(mine) < _value(yours))
    else:
        mine, yours = _head(r"[A-Za-z]*", a), _head(r"[A-Za-z]*", b)
        order = (mine > yours) - (mine < yours)
    return order, a[len(mine) :], b[len(yours) :]


def _value(digits: str) -> tuple[int, str]:
    """By which digits are compared, however many there are: int() takes no more than some thousand."""
    return (len(digits.lstrip("0")), digits.lstrip("0")) if digits else (-1, "")


def _head(pattern: str, text: str) -> str:
    found = re.match(pattern, text)
    return found[0] if found else ""


name_key = cmp_to_key(compare_names)
