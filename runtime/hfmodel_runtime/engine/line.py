"""Who was refused and told when to come back. Their place in line is kept, so that what they were told turns out right.

Pure; time is an argument, in seconds. Callers are known again by what they ask for (`key`), or by their request's id
(`caller`). Whoever comes back when told finds places that newcomers could not take: at ten times the load, a place that
becomes free would else be gone before the one it was promised to.
"""

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

LONGEST = 600  # seconds; nobody is told a longer time
_EARLY = 1.0  # places are kept free from so long before they are asked for
_LATE = 3.0  # and until so long after, for clocks and networks; then anybody gets them
_MOST_PROMISES = 4096  # who is refused beyond them is told a time and gets no place
_SMOOTHING = 0.05


@dataclass(slots=True, eq=False)
class _Promise:
    key: Hashable
    caller: str
    wanted: int
    due: float
    kept: bool = False  # or given up: either way it counts no more


class Line:
    """Decides who gets in, and when the others are to come back.

    Args:
        places: sequences that can run or wait at once.
        reserve: places that may be kept free for those who come back, at most.
    """

    def __init__(self, *, places: int, reserve: int) -> None:
        self._places = places
        self._reserve = reserve
        self._promises: deque[_Promise] = deque()  # in the order in which they are due
        self._by_key: dict[Hashable, list[_Promise]] = {}
        self._promised = 0  # sequences that are to come back
        self._return_rate = 1.0  # of those told to come back, who did lately

    @property
    def empty(self) -> bool:
        """Nobody is to come back."""
        return not self._by_key

    def ask(
        self, key: Hashable, *, caller: str, wanted: int, taken: int, seconds_each: float, now: float
    ) -> int | None:
        """None: come in. Otherwise the seconds after which to ask again.

        Args:
            wanted: sequences, all or none.
            taken: places in use.
            seconds_each: from one place becoming free to the next.
        """
        self._forget_who_did_not_come(now)
        mine = self._find(key, caller, now)
        free = self._places - taken
        ahead, soon = self._ahead_of(mine, now)
        if wanted <= free - min(soon, self._reserve):
            if mine is not None:
                self._settle(mine, came_back=True)
            return None
        if mine is not None and mine.due > now + _EARLY:
            return math.ceil(mine.due - now)
        told = self._seconds(wanted - free + self._return_rate * ahead, seconds_each)
        if mine is not None:
            mine.due = now + told  # too late for some reason; its place is still before all who came after it
        elif told < LONGEST and len(self._promises) < _MOST_PROMISES:
            self._promise(_Promise(key, caller, wanted, now + told))
        return told

    def _seconds(self, sequences: float, seconds_each: float) -> int:
        return min(LONGEST, max(1, math.ceil(sequences * seconds_each)))

    def _find(self, key: Hashable, caller: str, now: float) -> _Promise | None:
        """The promise that this caller comes back for. Another's with the same key will do if it is due."""
        promises = self._by_key.get(key)
        if promises is None:
            return None
        own = next((promise for promise in promises if promise.caller == caller), None)
        return own or (promises[0] if promises[0].due <= now + _EARLY else None)

    def _ahead_of(self, mine: _Promise | None, now: float) -> tuple[int, int]:
        """Sequences that are to come in before `mine` (None: a newcomer); of these, those that may come any moment."""
        if mine is None:
            soon = 0
            for promise in self._promises:
                if promise.due > now + _EARLY:
                    break
                soon += 0 if promise.kept else promise.wanted
            return self._promised, soon
        ahead = 0
        for promise in self._promises:
            if promise is mine:
                break
            ahead += 0 if promise.kept else promise.wanted
        return ahead, 0 if mine.due <= now + _EARLY else ahead

    def _promise(self, promise: _Promise) -> None:
        self._promises.append(promise)
        self._by_key.setdefault(promise.key, []).append(promise)
        self._promised += promise.wanted

    def _forget_who_did_not_come(self, now: float) -> None:
        while self._promises and (self._promises[0].kept or self._promises[0].due + _LATE < now):
            promise = self._promises.popleft()
            if not promise.kept:
                self._settle(promise, came_back=False)

    def _settle(self, promise: _Promise, *, came_back: bool) -> None:
        promise.kept = True
        self._promised -= promise.wanted
        self._return_rate += _SMOOTHING * (came_back - self._return_rate)
        same = self._by_key[promise.key]
        same.remove(promise)
        if not same:
            del self._by_key[promise.key]
