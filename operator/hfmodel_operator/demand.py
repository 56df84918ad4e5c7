"""Who wants a model, and when it was last of use.

- Pinned: `minReplicas` is at least 1. A pin wins over a release: the spec is the owner's word, a release a caller's.
- Released: somebody asked to unload it and nobody wanted it later. At the very same instant the one who waits wins.
- Demanded: it was wanted within the demand window, and no pod has been of use since. A want is met by a pod that became
  ready or worked after it, or that was ready for `min_residency` after it; a met want starts no second pod.

The router repeats its want while somebody waits, so a demand lapses soon after the last caller has gone, and a want
that was met too early (its pod died) comes again.

A failed start ends the demand that led to it: a permanent failure every want up to then, any other a want that was not
repeated within `want_repeat` before it. Nobody waits then, and a try for nobody would take a place in the pool from a
model that somebody uses. (Where the router's clock is behind, a want looks older, and the next try comes later.)

Clocks may differ by less than the demand window. Waking wins: a want of the future counts (further ahead it is a relic
of a clock that was set back), activity and releases of the future do not yet.
"""

from collections.abc import Iterator
from datetime import datetime

from hfmodel_operator.observed import ObservedModel, Settings
from hfmodel_operator.pods import is_ready, quiet_since


def is_pinned(model: ObservedModel) -> bool:
    return model.model.spec.scaling.min_replicas >= 1


def wanted_at(model: ObservedModel, now: datetime, settings: Settings) -> datetime | None:
    """The last want, unless a release came after it."""
    wanted, released = model.demand.wanted_at, model.demand.released_at
    if wanted is None or wanted > now + settings.demand_window:
        return None
    return None if released is not None and wanted < released <= now else wanted


def is_released(model: ObservedModel, now: datetime, settings: Settings) -> bool:
    released = model.demand.released_at
    if released is None or released > now or is_pinned(model):
        return False
    return wanted_at(model, now, settings) is None


def is_demanded(model: ObservedModel, now: datetime, settings: Settings) -> bool:
    wanted = wanted_at(model, now, settings)
    if wanted is None or now >= wanted + settings.demand_window or _has_failed(model, wanted, now, settings):
        return False
    active = last_active(model, now, settings)
    return active is None or wanted > active


def _has_failed(model: ObservedModel, wanted: datetime, now: datetime, settings: Settings) -> bool:
    failure, at = model.last_failure, model.last_failed_at
    if model.failures < 1 or failure is None or at is None or at > now:
        return False
    return wanted <= at if failure.permanent else wanted + settings.want_repeat < at


def last_active(model: ObservedModel, now: datetime, settings: Settings) -> datetime | None:
    """When the model was last of use: a pod became ready, a request ended, a want found a ready pod."""
    return max((time for time in _uses(model, now, settings) if time <= now), default=None)


def _uses(model: ObservedModel, now: datetime, settings: Settings) -> Iterator[datetime]:
    for pod in model.pods:
        if pod.ready_at is not None:
            yield pod.ready_at
        # What a pod said before it failed or went is no news of now.
        quiet = quiet_since(pod, now) if is_ready(pod) or pod.activity_at is not None else None
        if quiet is not None:
            yield quiet
    yield from filter(None, (model.last_active, model.status.last_active_time))
    met_at = want_met_at(model, now, settings)
    if met_at is not None and met_at <= now:
        yield met_at - settings.min_residency  # the want


def want_met_at(model: ObservedModel, now: datetime, settings: Settings) -> datetime | None:
    """When a ready pod counts as having met the last want; None where there is no want, or no such pod.

    Not at once: a pod that just agreed to go may have been seen ready a moment before.
    """
    wanted = wanted_at(model, now, settings)
    return wanted + settings.min_residency if wanted is not None and any(map(is_ready, model.pods)) else None
