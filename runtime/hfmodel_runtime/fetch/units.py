"""Ages, as people write them on a command line."""

import re
from datetime import timedelta

from hfmodel_api.duration import parse_duration

_DAYS = re.compile(r"(\d{1,6})d(.*)", re.DOTALL)


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
