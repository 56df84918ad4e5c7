"""When a model may lose its last pods: to sleep, or to make room for another.

Only where every pod is ready, told that it has nothing to do, has been ready for `min_residency`, and nobody wanted
the model within `min_residency` (a caller may be on the way). To sleep, the last request of every pod and the last want
must also be `idleTimeout` ago. A pod that starts, is busy or did not answer keeps the whole model; so does a pin.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hfmodel_operator.demand import is_pinned, wanted_at
from hfmodel_operator.observed import ObservedModel, ObservedPod, Settings
from hfmodel_operator.pods import known_idle, quiet_since, settled_at


def sleeps_at(
    model: ObservedModel, live: Sequence[ObservedPod], *, now: datetime, settings: Settings
) -> datetime | None:
    """When `live`, if nothing happens, may be retired for idleness; None while something speaks against it."""
    timeout = model.model.spec.scaling.idle_timeout
    return _leaves_at(model, live, timeout=timeout, now=now, settings=settings)


def yields_at(
    model: ObservedModel, live: Sequence[ObservedPod], *, now: datetime, settings: Settings
) -> datetime | None:
    """When `live`, if nothing happens, may be retired for another model's sake; None as for `sleeps_at`."""
    return _leaves_at(model, live, timeout=timedelta(0), now=now, settings=settings)


def _leaves_at(
    model: ObservedModel, live: Sequence[ObservedPod], *, timeout: timedelta, now: datetime, settings: Settings
) -> datetime | None:
    if is_pinned(model) or not live or not all(map(known_idle, live)):
        return None
    times = [settled_at(pod, settings.min_residency, now) for pod in live]
    times += [quiet + timeout for pod in live if (quiet := quiet_since(pod, now)) is not None]
    wanted = wanted_at(model, now, settings)
    if wanted is not None:
        times.append(wanted + max(timeout, settings.min_residency))
    return max(times)
