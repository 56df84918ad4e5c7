"""Speed over the last seconds, and a limit on how often it is reported."""

from collections import deque

from hfmodel_runtime.fetch.request import Progress, Report, Stage
from hfmodel_runtime.fetch.tally import Tally

REPORT_SECONDS = 0.25
_WINDOW_SECONDS = 5.0


class Meter:
    """Turns byte counts into `Progress`. Not thread-safe: one thread reports; all of them may count in `tally`."""

    def __init__(self, report: Report) -> None:
        self.tally = Tally()
        self._report = report
        self._samples: deque[tuple[float, int]] = deque()
        self._stage: Stage | None = None
        self._reported_at = float("-inf")

    def update(self, stage: Stage, count: int, *, total: int | None, now: float, force: bool = False) -> None:
        """`count` bytes of `total` are there at `now` (seconds of a monotonic clock).

        Reported if the last report is old enough, if the stage is a new one, or if `force` is set.
        """
        if stage is not self._stage:
            self._stage, force = stage, True
            self._samples.clear()
        speed = self._speed(count, now)
        if force or now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self._report(Progress(stage=stage, bytes=count, total_bytes=total, bytes_per_second=speed))

    def _speed(self, count: int, now: float) -> float | None:
        # The first sample holds what an earlier run had fetched, so that it does not count as speed.
        self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        elapsed = now - since
        if elapsed < REPORT_SECONDS or count < before:
            return None
        return (count - before) / elapsed
