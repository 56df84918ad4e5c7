"""What will be done to the system, and when: drawn from a seed before anything starts. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Seconds at the start and at the end of a run without a fault: requests flow, and what was struck heals.
_QUIET_START: Final = 4.0
_QUIET_END: Final = 6.0


class Kind(StrEnum):
    """What can be done; the value is how a report calls it."""

    STOP_POD = "pod told to go"
    KILL_POD = "pod deleted by force"
    KILL_RUNTIME = "runtime killed"
    PAUSE_RUNTIME = "runtime paused"
    KILL_ZYGOTE = "parent of the runtimes killed"
    STOP_ROUTER = "router told to go"
    KILL_ROUTER = "router killed"
    RESTART_ROUTERS = "routers rolled out anew"
    STOP_OPERATOR = "operator told to go"
    KILL_OPERATOR = "operator killed"
    PAUSE_API = "API server paused"
    RESTART_API = "API server killed and started"
    FLOOD = "queue filled"
    CHANGE_SPEC = "spec changed"
    UNLOAD = "model unloaded"


# After these a connection to the router may fail before the first byte of an answer: nobody is left to answer on it.
ROUTER_KILLS: Final = frozenset({Kind.KILL_ROUTER})
# After these an answer that has begun may be cut: the part that was sending it is dead.
KILLS: Final = ROUTER_KILLS | {Kind.KILL_POD, Kind.KILL_RUNTIME, Kind.KILL_ZYGOTE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One strike. What it hits is chosen when it comes, among what there is then, by `number`."""

    at: float  # seconds after the start
    kind: Kind
    number: int
    seconds: float  # how long a pause lasts

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind}"


def draw(*, seed: int, seconds: float, kinds: Sequence[Kind], gap: tuple[float, float]) -> tuple[Fault, ...]:
    """The faults of a run of `seconds`, in order of time: each of `kinds` once, in any order, then each again.

    Args:
        kinds: one that stands here twice comes twice as often.
        gap: fewest and most seconds from one fault to the next.
    """
    numbers = random.Random(seed)
    faults: list[Fault] = []
    bag: list[Kind] = []
    at = _QUIET_START
    while at <= seconds - _QUIET_END:
        if not bag:
            bag = numbers.sample(kinds, len(kinds))
        pause = round(numbers.uniform(1, 4), 1)
        faults.append(Fault(at=round(at, 1), kind=bag.pop(), number=numbers.randrange(1 << 30), seconds=pause))
        at += numbers.uniform(*gap)
    return tuple(faults)


def waking_hours(*, seed: str, seconds: float) -> tuple[tuple[float, float], ...]:
    """When the callers of a model call: short times with pauses between, in some of which the model falls asleep."""
    numbers = random.Random(seed)
    hours: list[tuple[float, float]] = []
    begin = numbers.uniform(0, 3)
    while begin < seconds:
        end = begin + numbers.uniform(2, 6)
        hours.append((begin, min(end, seconds)))
        begin = end + numbers.uniform(3, 9)
    return tuple(hours)
