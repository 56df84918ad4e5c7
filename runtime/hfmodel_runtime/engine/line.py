"""Who was refused and told when to come back. Their place in line is kept, so that what they were told turns out right.

Pure; time is an argument, in seconds. Callers are known again by what they ask for (`key`), or by their request's id
(`caller`). Whoever comes back when told finds places that newcomers could not take: at ten times the load, a place that
becomes free would else be gone before the one it was promised to.

The line's order is that of the times at which they are due. All are counted by the tick of that time, which says how
many come before another. Up to a bound, each is also kept by name; beyond it, only its tick is, under its key's hash
in a table of fixed size. So memory is bounded, and however many there are, everybody is counted.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass

LONGEST = 600  # seconds; nobody is told a longer time
_EARLY = 1.0  # places are kept free from so long before they are asked for
_LATE = 3.0  # and until so long after, for clocks and networks; then anybody gets them
_MOST_NAMED = 65_536  # promises, at about 400 bytes each: those of ten minutes at a hundred a second
_SMOOTHING = 0.05
_SLACK = 1.05  # what is told to what is measured: a place that waits for a caller serves both better than the reverse
_SPREAD = 10  # seconds; so much longer is told to who would come together with too many
_TICK = 0.125  # seconds
_TICKS = 8192  # a power of two; more than from the oldest promise that counts to LONGEST from now
_SLOTS = 1 << 20  # of two bytes; each stands for one caller who is not kept by name
_ERA = 65_535  # ticks that a slot can tell apart; 0 is empty


@dataclass(frozen=True, slots=True, eq=False)
class _Promise:
    """To let in `wanted` sequences at `due`. `caller` is the hash of the key and the caller's id, which may be long."""

    key: Hashable
    caller: int
    wanted: int
    due: float

    @property
    def tick(self) -> int:
        return _tick(self.due)


def _tick(moment: float) -> int:
    return math.floor(moment / _TICK)


class Line:
    """Decides who gets in, and when the others are to come back.

    Args:
        places: sequences that can run or wait at once.
        reserve: places that may be kept free for those who come back, at most.
        most_named: promises that are kept by name, at most.
    """

    def __init__(self, *, places: int, reserve: int, most_named: int = _MOST_NAMED) -> None:
        self._places = places
        self._reserve = reserve
        self._counted = _Counted()
        self._named = _Named(most=most_named)
        self._crowd = _Crowd()
        self._return_rate = 1.0  # of those told to come back, who did lately

    @property
    def empty(self) -> bool:
        """Nobody is to come back."""
        return not self._counted.total

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
        name = hash((key, caller))
        mine = self._find(key, name, wanted, now)
        free = self._places - taken
        ahead, soon = self._ahead_of(mine, now)
        if wanted <= free - min(soon, self._reserve):
            if mine is not None:
                self._learn(came_back=True)
                self._take_out(mine)
            return None
        if mine is not None and mine.due > now + _EARLY:
            return math.ceil(mine.due - now)
        sequences, seconds_each = wanted - free + self._return_rate * ahead, seconds_each * _SLACK
        told = min(LONGEST, max(1, math.ceil(sequences * seconds_each)))
        if mine is None:
            told = self._spread(told, seconds_each, now)
        else:
            self._take_out(mine)  # too late for some reason; its place is still before all who came after it
        if mine is not None or told < LONGEST:
            self._put_in(_Promise(key, name, wanted, now + told))
        return told

    def _spread(self, least: int, seconds_each: float, now: float) -> int:
        """Seconds, at least so many, to where no more are due than places become free.

        Whole seconds alone would send all who come within a moment back within a moment: more than a short queue takes.
        """
        most = min(LONGEST, least + max(_SPREAD, least // 4))
        window = min(_SPREAD, max(_TICK, self._reserve * seconds_each))
        places = max(1.0, window / seconds_each)
        for told in range(least, most):
            begin = _tick(now + told - window / 2 + _TICK / 2)
            due = self._counted.until(begin + round(window / _TICK) - 1) - self._counted.until(begin - 1)
            if self._return_rate * due < places:
                return told
        return most

    def _find(self, key: Hashable, name: int, wanted: int, now: float) -> _Promise | None:
        """The promise that this caller comes back for. Another's with the same key will do if it is due."""
        own = self._named.of(name) or self._named.due(key, self._counted.first, _tick(now + _EARLY))
        if own is not None:
            return own
        tick = self._crowd.tick_of(key, self._counted.first)
        return None if tick is None else _Promise(key, name, wanted, tick * _TICK)

    def _ahead_of(self, mine: _Promise | None, now: float) -> tuple[int, int]:
        """Sequences that are to come in before `mine` (None: a newcomer); of these, those that may come any moment."""
        if mine is None:
            return self._counted.total, self._counted.until(_tick(now + _EARLY))
        ahead = self._counted.until(mine.tick - 1)
        return ahead, 0 if mine.due <= now + _EARLY else ahead

    def _put_in(self, promise: _Promise) -> None:
        self._counted.add(promise.tick, promise.wanted)
        if not self._named.add(promise):
            self._crowd.add(promise.key, promise.tick)

    def _take_out(self, promise: _Promise) -> None:
        self._counted.take(promise.tick, promise.wanted)
        if not self._named.discard(promise):
            self._crowd.discard(promise.key)

    def _forget_who_did_not_come(self, now: float) -> None:
        for tick in self._counted.forget_before(_tick(now - _LATE)):
            for _ in range(self._named.forget(tick)):
                self._learn(came_back=False)

    def _learn(self, *, came_back: bool) -> None:
        self._return_rate += _SMOOTHING * (came_back - self._return_rate)


class _Counted:
    """How many sequences are due at each tick, from the first that still counts on: a Fenwick tree laid in a ring."""

    def __init__(self) -> None:
        self.first = 0
        self.total = 0
        self._at = [0] * _TICKS
        self._sums = [0] * (_TICKS + 1)

    def until(self, tick: int) -> int:
        """Of all ticks up to and with this one."""
        if tick < self.first:
            return 0
        if tick - self.first >= _TICKS - 1:
            return self.total
        begin, end = self.first % _TICKS, tick % _TICKS + 1
        return self._sum(end) - self._sum(begin) + (self.total if end <= begin else 0)

    def add(self, tick: int, sequences: int) -> None:
        self.total += sequences
        self._at[tick % _TICKS] += sequences
        index = tick % _TICKS + 1
        while index <= _TICKS:
            self._sums[index] += sequences
            index += index & -index

    def take(self, tick: int, sequences: int) -> None:
        """No more than there are: a hash that two callers share must not make others uncounted."""
        self.add(tick, -min(sequences, self._at[tick % _TICKS]))

    def forget_before(self, tick: int) -> range:
        """The ticks that count no more from now on."""
        if tick <= self.first:
            return range(0)
        gone = range(self.first, min(tick, self.first + _TICKS))
        for each in gone:
            if self._at[each % _TICKS]:
                self.take(each, self._at[each % _TICKS])
        self.first = tick
        return gone

    def _sum(self, end: int) -> int:
        total = 0
        while end:
            total += self._sums[end]
            end -= end & -end
        return total


class _Named:
    """Promises by caller, and by tick and key. At most so many."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._by_caller: dict[int, _Promise] = {}
        self._by_tick: dict[int, dict[Hashable, list[_Promise]]] = {}

    def of(self, caller: int) -> _Promise | None:
        return self._by_caller.get(caller)

    def due(self, key: Hashable, first: int, last: int) -> _Promise | None:
        """The first in line of those with this key that are due at these ticks."""
        for tick in range(first, last + 1):
            promises = self._by_tick.get(tick, {}).get(key)
            if promises:
                return promises[0]
        return None

    def add(self, promise: _Promise) -> bool:
        """Whether there was room."""
        if len(self._by_caller) >= self._most:
            return False
        self._by_caller[promise.caller] = promise
        self._by_tick.setdefault(promise.tick, {}).setdefault(promise.key, []).append(promise)
        return True

    def discard(self, promise: _Promise) -> bool:
        """Whether it was one of these."""
        if self._by_caller.get(promise.caller) is not promise:
            return False
        del self._by_caller[promise.caller]
        keys = self._by_tick[promise.tick]
        keys[promise.key].remove(promise)
        if not keys[promise.key]:
            del keys[promise.key]
        if not keys:
            del self._by_tick[promise.tick]
        return True

    def forget(self, tick: int) -> int:
        """All of that tick; says how many."""
        gone = [promise for promises in self._by_tick.pop(tick, {}).values() for promise in promises]
        for promise in gone:
            del self._by_caller[promise.caller]
        return len(gone)


class _Crowd:
    """The tick of each promise that is kept by no name. Two whose hashes share a slot: the later one is known again."""

    def __init__(self) -> None:
        self._slots = memoryview(bytearray(2 * _SLOTS)).cast("H")

    def add(self, key: Hashable, tick: int) -> None:
        self._slots[self._slot(key)] = tick % _ERA + 1

    def discard(self, key: Hashable) -> None:
        self._slots[self._slot(key)] = 0

    def tick_of(self, key: Hashable, first: int) -> int | None:
        """When the caller with this key is due; None if it is none of these, or was due before the first tick."""
        found = self._slots[self._slot(key)]
        ticks = (found - 1 - first) % _ERA
        return None if found == 0 or ticks >= _TICKS else first + ticks

    def _slot(self, key: Hashable) -> int:
        return hash(("crowd", key)) % _SLOTS
