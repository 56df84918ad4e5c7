"""When a failed start or download may be tried again.

- After the n-th failure in a row: `backoff_base` doubled n-1 times, at most `backoff_max`, counted from the failure.
- A start that failed is tried again while somebody waits (`demand.py`).
- A permanent failure is tried again only for a new want, so a world that was mended serves the next caller, and after
  the same back-off, so a caller who insists cannot make it a busy loop. (A change of the template makes the adapter
  forget the failure.)
- What the world lacks before there can be a pod (`problem`) blocks for as long as it is observed.
- A failure of the future (the clock was set back) blocks nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hfmodel_operator.demand import wanted_at
from hfmodel_operator.observed import ObservedModel, PodFailure, Settings

_MAX_DOUBLINGS = 32  # beyond every backoff_max; keeps the arithmetic finite


@dataclass(frozen=True, slots=True)
class Block:
    """Why nothing may be started now, and until when; `until` None: until something changes."""

    failure: PodFailure
    until: datetime | None = None


def start_block(model: ObservedModel, now: datetime, settings: Settings) -> Block | None:
    """What forbids a new pod of this model now."""
    if model.problem is not None:
        return Block(model.problem)
    if model.failures < 1 or model.last_failure is None or model.last_failed_at is None:
        return None
    return _block(model, model.last_failure, model.last_failed_at, model.failures, now=now, settings=settings)


def fetch_block(model: ObservedModel, now: datetime, settings: Settings) -> Block | None:
    """What forbids a prefetch of this model now."""
    if model.problem is not None:
        return Block(model.problem)
    if model.fetch_failure is None or model.fetch_failed_at is None:
        return None
    return _block(
        model, model.fetch_failure, model.fetch_failed_at, max(1, model.fetch_failures), now=now, settings=settings
    )


def given_up(model: ObservedModel, settings: Settings) -> PodFailure | None:
    """Why waiting for this model cannot help, as far as its starts have shown."""
    if model.problem is not None:
        return model.problem
    if model.failures < 1 or model.last_failure is None:
        return None
    hopeless = model.last_failure.permanent or model.failures >= settings.max_failures
    return model.last_failure if hopeless else None


def _block(
    model: ObservedModel, failure: PodFailure, failed_at: datetime, failures: int, *, now: datetime, settings: Settings
) -> Block | None:
    if failed_at > now:
        return None
    wanted = wanted_at(model, now, settings)
    if failure.permanent and (wanted is None or wanted <= failed_at):
        return Block(failure)
    until = failed_at + _delay(failures, settings)
    return Block(failure, until) if now < until else None


def _delay(failures: int, settings: Settings) -> timedelta:
    doublings = min(failures - 1, _MAX_DOUBLINGS)
    return min(settings.backoff_max, settings.backoff_base * (1 << doublings))
