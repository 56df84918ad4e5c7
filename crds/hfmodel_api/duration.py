"""Durations as Kubernetes users write them: `30m`, `1h30m`, `250ms`."""

import re
from datetime import timedelta
from decimal import Decimal

# Bounded so that any duration can be added to any date of these centuries: at most four parts of 9999999h.
PATTERN = r"^([0-9]{1,7}(\.[0-9]{1,3})?(ms|s|m|h))+$"
MAX_LENGTH = 32
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_MICROSECONDS = {"ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def parse_duration(text: str) -> timedelta:
    """Parse `1h30m` and the like.

    Raises:
        ValueError: `text` is not one or more numbers (of at most seven digits), each with a unit of ms, s, m or h.
            Negative is not a duration.
    """
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN.strip("^$"), text):
        raise ValueError(f"{text!r} is not a duration: write it as 30s, 15m, 1h30m (units: ms, s, m, h; not negative)")
    # Decimal: with floats, long durations would lose their last digits.
    parts = (Decimal(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(microseconds=int(sum(parts)))


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `value` (to the microsecond, up to 9999999h)."""
    rest, microseconds = divmod(value // timedelta(microseconds=1), 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    if microseconds:
        parts.append(f"{rest}.{microseconds:03}".rstrip("0") + "ms")
    elif rest:
        parts.append(f"{rest}ms")
    return "".join(parts) or "0s"
