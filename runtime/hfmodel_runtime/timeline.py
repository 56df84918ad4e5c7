"""How this process came up: the seconds from its start, by the kernel's account, to each stage of becoming ready."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hfmodel_api.wire import Stage, Start

_STAT = Path("/proc/self/stat")
_STARTED_FIELD = 19  # of what follows the name of the program; in clock ticks since the machine started


class Timeline:
    """The stages that were reached, each once, in any thread.

    Args:
        began_at: when the process began, by `clock` (seconds).
    """

    def __init__(self, began_at: float, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._began_at = began_at
        self._reached: dict[Stage, float] = {}

    def reached(self, stage: Stage) -> None:
        """`stage` is over now; only the first time counts."""
        self._reached.setdefault(stage, self._clock())

    def start(self) -> Start:
        """What each stage took that was reached so far."""
        before, stages = self._began_at, {}
        for stage, at in sorted(self._reached.items(), key=lambda each: each[1]):
            stages[stage] = round(max(0.0, at - before), 3)
            before = at
        return Start(began_at=datetime.fromtimestamp(self._began_at, UTC), stages=stages)


def of_this_process() -> Timeline:
    """A timeline that begins when this process was started or forked."""
    return Timeline(time.time() - _age().total_seconds())


def _age() -> timedelta:
    """How long this process has been there, imports of the interpreter included; nothing where no kernel tells."""
    try:
        fields = _STAT.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return timedelta()
    since_boot = int(fields[_STARTED_FIELD]) / os.sysconf("SC_CLK_TCK")
    return timedelta(seconds=max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot))
