"""Sizes and ages, as people write them on a command line or in a variable, and as they read them."""

import re
from datetime import timedelta
from decimal import Decimal

from hfmodel_api.duration import parse_duration

_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([KkMGTP]?)(i?)B?")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_DAYS = re.compile(r"(\d{1,6})d(.*)", re.DOTALL)


def human_bytes(count: int) -> str:
    """`538.1 MB`; decimal units, as disks and the Hub's pages have them."""
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def parse_bytes(text: str) -> int:
    """`40Gi`, `40GB`, `1.5T`, `1000`: with an `i` powers of 1024, else of 1000.

    Raises:
        ValueError: it is not a size, or it is nothing.
    """
    matched = _SIZE.fullmatch(text.strip())
    if matched is None or (matched[3] and not matched[2]):
        raise ValueError(f"{text!r} is not a size: write it as 40Gi, 500MB or a number of bytes")
    base = 1024 if matched[3] else _STEP
    size = int(Decimal(matched[1]) * base ** _POWERS[matched[2].upper()])
    if size == 0:
        raise ValueError(f"{text!r} is no size to keep to: it has to be more than nothing")
    return size


def parse_age(text: str) -> timedelta:
    """`30d`, `12h`, `1d12h`.

    Raises:
        ValueError: it is not an age.
    """
    days, rest = timedelta(), text.strip()
    if matched := _DAYS.fullmatch(rest):
        days, rest = timedelta(days=int(matched[1])), matched[2]
    try:
        return days + (parse_duration(rest) if rest or not matched else timedelta())
    except ValueError:
        raise ValueError(f"{text!r} is not an age: write it as 30d, 12h or 1d12h") from None
