"""Text from elsewhere, made fit for a terminal."""

import re

# What a terminal may act on: control characters other than line feed and tab. A model's answer is not to be trusted.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def seconds_text(seconds: float) -> str:
    """`45s`, `3m`, `2h`, `5d`: at most two digits for long times, as kubectl shows ages."""
    whole = int(max(seconds, 0.0))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
