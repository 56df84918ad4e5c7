from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfmodel_api.duration import MAX_LENGTH, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("30s", 30), ("30m", 1800), ("1h30m", 5400), ("250ms", 0.25), ("1.5h", 5400), ("1s1h", 3601)],
)
def test_parses(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1d", "1 h", " 1h", "1h\n", "1.h", "٣s", "1h" * 17, "12345678h"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write it as"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=9_999_999)))
def test_what_is_formatted_parses_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


def test_the_longest_can_still_be_added_to_a_date() -> None:
    longest = parse_duration("9999999h" * (MAX_LENGTH // 8))
    assert datetime(2100, 1, 1) + longest < datetime.max
