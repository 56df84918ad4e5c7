from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfmodel_runtime.engine.stop import StopMatcher

# A busy machine is no failure.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _feed(stops: Sequence[str], pieces: Sequence[str]) -> tuple[str, bool]:
    matcher = StopMatcher(stops)
    text = ""
    for piece in pieces:
        matched = matcher.push(piece)
        text += matched.text
        if matched.stopped:
            return text, True
    return text + matcher.flush(), False


def _first_complete(stops: Sequence[str], text: str) -> tuple[str, bool]:
    """The specification: the shortest start of the text that ends in a stop string, less the longest such string."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        pytest.param((), ["a", "b"], ("ab", False), id="no-stops"),
        pytest.param(("\nHuman:",), ["Hi.\n", "Hu", "man", ": you"], ("Hi.", True), id="across-tokens"),
        pytest.param(("\nHuman:",), ["Hi.\nHu", "ge"], ("Hi.\nHuge", False), id="false-alarm-is-given-out"),
        pytest.param(("END",), ["abcEN"], ("abcEN", False), id="unfinished-stop-is-text-at-the-end"),
        pytest.param(("aab",), ["aa", "ab"], ("a", True), id="overlapping-starts"),
        pytest.param(("abcd", "bc"), ["abcd"], ("a", True), id="first-complete-wins"),
        pytest.param(("bc", "abc"), ["xabc"], ("x", True), id="longest-of-those-that-end-together"),
        pytest.param(("é",), ["caf", "é!"], ("caf", True), id="not-ascii"),
        pytest.param(("stop",), ["stop"], ("", True), id="nothing-before"),
    ],
)
def test_text_ends_before_the_stop_string(stops: Sequence[str], pieces: list[str], expected: tuple[str, bool]) -> None:
    assert _feed(stops, pieces) == expected


def test_only_what_may_be_the_start_of_a_stop_string_is_held_back() -> None:
    matcher = StopMatcher(["<end>"])
    assert matcher.push("a < b <e").text == "a < b "
    assert matcher.push("m").text == "<em"


@_UNHURRIED
@given(
    stops=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    pieces=st.lists(st.text(alphabet="abc", max_size=4), max_size=12),
)
def test_the_outcome_does_not_depend_on_how_the_text_is_cut(stops: list[str], pieces: list[str]) -> None:
    assert _feed(stops, pieces) == _first_complete(stops, "".join(pieces))
