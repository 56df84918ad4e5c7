"""How fast a full engine works its queue off: seconds from one sequence's end to the next. Pure: time is given."""

_MEMORY = 1 - 1 / 128  # what an end counts once another one came: the mean is over about the last hundred
_FIRST_GUESS = 5.0  # a sequence's seconds in the batch, before any was measured
_SMOOTHING = 0.2
_WEIGHT_OF_GUESS = 4.0  # ends that the guess counts for beside those that were measured


class DrainRate:
    """Measures only while others wait: with free places, sequences end as they came and not as fast as can be."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._ends = 0.0
        self._since: float | None = None  # the last end, or when the queue began
        self._seconds_in_batch = _FIRST_GUESS

    def queued(self, now: float) -> None:
        """Somebody waits for a place."""
        if self._since is None:
            self._since = now

    def ended(self, now: float, *, seconds_in_batch: float, waiting: bool) -> None:
        """A sequence left the batch.

        Args:
            waiting: whether another waits for its place.
        """
        self._seconds_in_batch += _SMOOTHING * (seconds_in_batch - self._seconds_in_batch)
        if self._since is not None:
            self._seconds = self._seconds * _MEMORY + now - self._since
            self._ends = self._ends * _MEMORY + 1
        self._since = now if waiting else None

    def seconds_each(self, now: float, *, running: int) -> float:
        """Seconds that one more sequence takes, with so many running at once."""
        since_last = 0.0 if self._since is None else now - self._since
        guess = max(self._seconds_in_batch, since_last) / max(1, running)
        return (self._seconds + since_last + _WEIGHT_OF_GUESS * guess) / (self._ends + _WEIGHT_OF_GUESS)
