"""Sizes in bytes, as people write them on a command line, in a variable or in values, and as they read them."""

import re
from decimal import Decimal
from typing import Final

_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([KkMGTP]?)(i?)B?")
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def human_bytes(count: float) -> str:
    """`538.1 MB`; decimal units, as disks and the Hub's pages have them."""
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{count:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


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
