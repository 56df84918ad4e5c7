"""Durations as Kubernetes users write them: `30m`, `1h30m`, `250ms`."""

import re
from datetime import timedelta

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> timedelta:
    """Parse `1h30m` and the like.

    Raises:
        ValueError: `text` is not one or more numbers, each with a unit of ms, s, m or h. Negative is not a duration.
    """
    if not re.fullmatch(PATTERN.strip("^$"), text):
        raise ValueError(f"{text!r} is not a duration: write it as 30s, 15m, 1h30m (units: ms, s, m, h; not negative)")
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long for a duration") from error


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `value` (to the millisecond)."""
    milliseconds = round(value.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
