"""Text from elsewhere, made fit for a terminal."""

import re

# What a terminal may act on: control characters other than line feed and tab. A model's answer is not to be trusted.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    return " ".join(printable(text).split())
