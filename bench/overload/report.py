"""The outcome as rows of a table, as bars, and as JSON."""

from typing import Any

from bench import bars
from bench.overload.measure import PARTS, Leg, Outcome

HEADER = ("", "at capacity", "at ten times that")
_PERCENTILES = (0.5, 0.95, 0.99)


def rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """What was measured."""
    legs = (outcome.capacity, outcome.overload)
    return [
        ("requests", *(str(len(leg.calls)) for leg in legs)),
        ("answered a second while newcomers came", *(f"{leg.per_second:.2f}" for leg in legs)),
        *(
            (f"latency of the accepted, p{share * 100:.0f}", *(f"{leg.latency(share):.2f} s" for leg in legs))
            for share in _PERCENTILES
        ),
        *((f"CPU of the {part}, cores", *(f"{leg.cores(part):.2f}" for leg in legs)) for part in PARTS),
        ("refused at first (429)", *(str(sum(call.was_refused for call in leg.calls)) for leg in legs)),
        ("neither 200 nor 429", *(str(_other(leg)) for leg in legs)),
        ("came back when told, and were let in at once", "", f"{outcome.overload.at_once:.0%}"),
        ("Retry-After right within a factor of two", "", f"{outcome.overload.kept:.0%}"),
        ("throughput beside capacity", "", f"{outcome.throughput:.2f}"),
        ("memory, second half to first: router", "", f"{outcome.growth('router'):.3f}"),
        ("memory, second half to first: runtime", "", f"{outcome.growth('runtime'):.3f}"),
    ]


def chart(outcome: Outcome) -> list[bars.Bar]:
    """The promises beside what they should be."""
    return [
        _bar("throughput beside capacity", outcome.throughput, 1.0),
        _bar("Retry-After right within a factor of two", outcome.overload.kept, 0.9),
        _bar("let in at the first return", outcome.overload.at_once, 0.9),
        _bar("memory of the router, second half to first", outcome.growth("router"), 1.1, at_most=True),
        _bar("memory of the runtime, second half to first", outcome.growth("runtime"), 1.1, at_most=True),
    ]


def content(outcome: Outcome) -> dict[str, Any]:
    """What goes into the JSON."""
    return {
        "throughput": round(outcome.throughput, 3),
        "kept": round(outcome.overload.kept, 3),
        "let_in_at_first_return": round(outcome.overload.at_once, 3),
        "capacity": _leg(outcome.capacity),
        "overload": _leg(outcome.overload),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "seconds": leg.seconds,
        "requests": len(leg.calls),
        "answered": len(leg.answered),
        "answered_per_second": round(leg.per_second, 3),
        "refused_at_first": sum(call.was_refused for call in leg.calls),
        "other": _other(leg),
        "latency_seconds": {f"p{share * 100:.0f}": round(leg.latency(share), 3) for share in _PERCENTILES},
        "cores": {part: round(leg.cores(part), 3) for part in PARTS},
        "promises": [{"told": told, "took": round(took, 2)} for told, took in leg.promises],
        "resident_mib": [
            {"at": round(each.seconds), **{part: taken >> 20 for part, taken in each.resident.items()}}
            for each in leg.usage[::10]
        ],
    }


def _other(leg: Leg) -> int:
    return sum(call.other is not None for call in leg.calls)


def _bar(label: str, value: float, target: float, *, at_most: bool = False) -> bars.Bar:
    note = f"at {'most' if at_most else 'least'} {target:g}"
    return bars.Bar(label=label, note=note, value=value, unit="", target=target, at_most=at_most)
