"""What runs came to, as JSON for machines and as a table for people."""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import psutil

from chaos.ledger import Entry, Outcome
from chaos.run import Run

_SHOWN: Final = 50  # of what went wrong in a run
_PACKAGES: Final = ("hfmodel", "torch", "transformers", "aiohttp", "uvicorn", "httpx")
COLUMNS: Final = (
    "seed",
    "seconds",
    "faults",
    "sent",
    "answered",
    "held",
    "retried",
    "reconnected",
    "refused",
    "cut",
    "wrong",
    "lost",
    "p50",
    "p95",
    "p99",
)


def passed(run: Run) -> bool:
    """Nothing was lost, nothing was wrong, and something was asked and struck."""
    return bool(run.strikes) and any(_of(run, Outcome.ANSWERED)) and not bad(run)


def bad(run: Run) -> list[Entry]:
    """The requests that break the promise."""
    return [entry for entry in run.entries if entry.outcome in (Outcome.WRONG, Outcome.LOST)]


def content(runs: Sequence[Run]) -> dict[str, Any]:
    """The JSON document."""
    return {
        "machine": {"cpus": psutil.cpu_count(), "load": psutil.getloadavg()},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
            **(dict(runs[0].versions) if runs else {}),
        },
        "runs": [_content(run) for run in runs],
    }


def table(runs: Sequence[Run]) -> str:
    """Markdown, a line for each run."""
    rows = [[str(_cell(run, column)) for column in COLUMNS] for run in runs]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [COLUMNS, ["---:" for _ in COLUMNS], *rows])


def faults(runs: Sequence[Run]) -> str:
    """Markdown: how often each fault was carried out."""
    counted = Counter(strike.kind for run in runs for strike in run.strikes)
    lines = [f"| {kind} | {number} |" for kind, number in sorted(counted.items())]
    return "\n".join(["| fault | strikes |", "| --- | ---: |", *lines])


def explained(run: Run) -> str:
    """A line for each request that breaks the promise."""
    return "\n".join(
        f"{entry.outcome}: {entry.record.id} ({entry.record.model}, {'stream' if entry.record.stream else 'plain'}, "
        f"sent at {entry.record.sent:.2f} s, ended at {entry.record.done:.2f} s): {entry.why}"
        for entry in bad(run)
    )


def _content(run: Run) -> dict[str, Any]:
    counted = Counter(strike.kind.value for strike in run.strikes)
    return {
        "passed": passed(run),
        **{column: _cell(run, column) for column in COLUMNS},
        "held requests per model that are never refused": run.bound,
        "faults by kind": dict(sorted(counted.items())),
        "faults that found nothing to hit": len(run.missed),
        "most connections for one request": max((len(entry.record.attempts) for entry in run.entries), default=0),
        "requests by model": dict(sorted(Counter(entry.record.model for entry in run.entries).items())),
        "streams": sum(entry.record.stream for entry in run.entries),
        "strikes": [
            {**asdict(strike), "began": round(strike.began, 2), "over": round(strike.over, 2)} for strike in run.strikes
        ],
        "broken promises": [
            {"outcome": entry.outcome, "why": entry.why, **asdict(entry.record)} for entry in bad(run)[:_SHOWN]
        ],
    }


def _cell(run: Run, column: str) -> float | int:
    answered = [entry.record for entry in _of(run, Outcome.ANSWERED)]
    match column:
        case "seed":
            return run.seed
        case "seconds":
            return run.seconds
        case "faults":
            return len(run.strikes)
        case "sent":
            return len(run.entries)
        case "held":
            return sum(record.held is not None for record in answered)
        case "retried":
            return sum(record.retries > 0 for record in answered)
        case "reconnected":
            return sum(len(record.attempts) > 1 for record in answered)
        case "p50" | "p95" | "p99":
            return _percentile([record.done - record.sent for record in answered], int(column[1:]))
    return len(_of(run, Outcome(column)))


def _of(run: Run, outcome: Outcome) -> list[Entry]:
    return [entry for entry in run.entries if entry.outcome is outcome]


def _percentile(values: Sequence[float], percent: int) -> float:
    """Seconds; 0 where nothing was measured."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)], 2) if ordered else 0.0
