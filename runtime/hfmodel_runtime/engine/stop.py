"""Stop strings in a stream of text: none of a stop string is ever emitted, and no more is held back than must be."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Matched:
    """What may be emitted now, and whether a stop string ended the text."""

    text: str
    stopped: bool = False


class StopMatcher:
    """Finds the stop string that is complete first (of several that end together, the longest).

    So the outcome does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(dict.fromkeys(stop for stop in stops if stop))
        self._held = ""

    def push(self, text: str) -> Matched:
        """Take more text; after `stopped` nothing may be pushed any more."""
        if not self._stops:
            return Matched(text)
        pending = self._held + text
        start = self._first_match(pending)
        if start is not None:
            self._held = ""
            return Matched(pending[:start], stopped=True)
        keep = self._possible_start(pending)
        self._held = pending[len(pending) - keep :]
        return Matched(pending[: len(pending) - keep])

    def flush(self) -> str:
        """The text held back, now that no more will come."""
        held, self._held = self._held, ""
        return held

    def _first_match(self, text: str) -> int | None:
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string begins with."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
