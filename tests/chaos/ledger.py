"""What became of each request, and whether that was allowed. Pure.

A request may be answered, refused where more waited than there is room for, or visibly cut where the very part that was
sending the answer was killed. Everything else is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chaos.plan import KILLS, ROUTER_KILLS
from chaos.records import Attempt, Record, Strike

# Seconds. A connection that was closed while it was idle fails as soon as it is used; an answer is cut soon after what
# sent it is dead.
_AT_ONCE = 5.0
_SOON = 30.0


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    REFUSED = "refused"  # 429, and there were too many
    CUT = "cut"  # an answer that had begun ended in an error that its caller saw
    WRONG = "wrong"  # another text than expected
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Entry:
    """A request and its outcome; `why` says what is wrong with one that is lost or wrong."""

    record: Record
    outcome: Outcome
    why: str = ""


def settle(records: Sequence[Record], strikes: Sequence[Strike], *, bound: int) -> tuple[Entry, ...]:
    """Every request's outcome.

    Args:
        bound: as many requests for one model are never too many.
    """
    return tuple(_entry(record, records, strikes, bound=bound) for record in records)


def _entry(record: Record, records: Sequence[Record], strikes: Sequence[Strike], *, bound: int) -> Entry:
    for attempt in record.attempts:
        if attempt.failure and not _excused(attempt, strikes):
            return Entry(record, Outcome.LOST, f"no router was killed, and its connection failed: {attempt.failure}")
    if record.hung:
        return Entry(record, Outcome.LOST, f"no end within {record.done - record.sent:.0f} s")
    if record.status is None:
        return Entry(record, Outcome.LOST, record.error or "it could not connect, again and again")
    if record.status == 429:
        return _refused(record, records, bound=bound)
    if record.status != 200:
        return Entry(record, Outcome.LOST, f"status {record.status}: {record.error}")
    if not record.right:
        return Entry(record, Outcome.WRONG, "another text than expected")
    if record.complete:
        return Entry(record, Outcome.ANSWERED)
    return _cut(record, strikes)


def _refused(record: Record, records: Sequence[Record], *, bound: int) -> Entry:
    if record.retry_after is None:
        return Entry(record, Outcome.LOST, "429 without Retry-After")
    together = _most_together(record, records)
    if together <= bound:
        return Entry(record, Outcome.LOST, f"429 while {together} requests were under way, with room for {bound}")
    return Entry(record, Outcome.REFUSED)


def _cut(record: Record, strikes: Sequence[Strike]) -> Entry:
    if not record.error:
        return Entry(record, Outcome.LOST, "a part of an answer that ended as if it were whole")
    for strike in strikes:
        hit = strike.kind in KILLS and strike.model in ("", record.model)
        if hit and _meets(strike, max(record.sent, record.done - _SOON), record.done):
            return Entry(record, Outcome.CUT)
    return Entry(record, Outcome.LOST, f"nothing was killed, and its answer was cut: {record.error}")


def _excused(attempt: Attempt, strikes: Sequence[Strike]) -> bool:
    """A router was killed with the connection; or the connection was idle and closed just then, as HTTP allows."""
    was_closed_idle = attempt.reused and attempt.ended - attempt.sent < _AT_ONCE
    return was_closed_idle or any(
        strike.kind in ROUTER_KILLS and _meets(strike, attempt.sent, attempt.ended) for strike in strikes
    )


def _meets(strike: Strike, begin: float, end: float) -> bool:
    return strike.began <= end and begin <= strike.over


def _most_together(record: Record, records: Sequence[Record]) -> int:
    """The most requests for its model that were under way at one moment of its own time, itself included."""
    others = [each for each in records if each.model == record.model]
    moments = [each.sent for each in others if record.sent <= each.sent <= record.done]
    return max(sum(each.sent <= moment <= each.done for each in others) for moment in moments)
