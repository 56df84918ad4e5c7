"""Defects put into the real code on purpose are found by the simulation, so it means something when it finds none."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest import mock

import pytest

from hfmodel_api.errors import EngineFailed
from hfmodel_operator.cluster import loop as reconcile
from hfmodel_operator.cluster.hearing import Hearing
from hfmodel_operator.cluster.lease import Lease
from hfmodel_operator.cluster.pod_state import Heard
from hfmodel_operator.decide import decide
from hfmodel_operator.observed import Observed, PodState, Settings
from hfmodel_operator.plan import Plan
from hfmodel_router.hold import HoldRoom
from hfmodel_router.proxy import Proxy
from hfmodel_runtime.lifecycle import Lifecycle
from simulation.clients import Request
from simulation.faults import FAULTS
from simulation.script import Step, play
from simulation.world import Broken, Setup

SEEDS = 12

Defect = Callable[[], contextlib.AbstractContextManager[Any]]


def retires_without_asking() -> contextlib.AbstractContextManager[Any]:
    async def retire(self: Hearing, pod: Any, _idle_for_seconds: float) -> bool:
        self.heard[pod["metadata"]["uid"]] = Heard(retired=True)
        return True

    return mock.patch.object(Hearing, "retire", retire)


def does_not_send_again() -> contextlib.AbstractContextManager[Any]:
    def failed(*_: Any) -> None:
        raise EngineFailed("no second try")

    return mock.patch.object(Proxy, "_failed", failed)


def loses_wake_ups() -> contextlib.AbstractContextManager[Any]:
    return mock.patch.object(HoldRoom, "changed", autospec=True)


def runs_requests_while_retired() -> contextlib.AbstractContextManager[Any]:
    return mock.patch.object(Lifecycle, "check", autospec=True)


def acts_without_its_lease() -> contextlib.AbstractContextManager[Any]:
    return mock.patch.object(Lease, "held", True)


@contextlib.contextmanager
def gives_a_place_away_before_it_is_free() -> Iterator[None]:
    """Pods that are going are not seen any more."""

    def decide_on_less(observed: Observed, settings: Settings, now: datetime) -> Plan:
        models = (
            replace(model, pods=tuple(pod for pod in model.pods if pod.state is not PodState.GOING))
            for model in observed.models
        )
        return decide(Observed(models=tuple(models)), settings, now)

    with mock.patch("simulation.operators.decide", decide_on_less):
        yield


def takes_its_time_from_nowhere() -> contextlib.AbstractContextManager[Any]:
    return mock.patch.object(reconcile.Reconciler, "_pause", return_value=3600.0)


DEFECTS: dict[str, Defect] = {
    "the operator deletes idle pods without asking them": retires_without_asking,
    "the router does not send again what a pod refused": does_not_send_again,
    "who waits is not told that a pod is ready": loses_wake_ups,
    "a retired pod takes requests": runs_requests_while_retired,
    "an operator acts without its Lease": acts_without_its_lease,
    "a place in the pool is given away before it is free": gives_a_place_away_before_it_is_free,
    "the operator looks only when something changes": takes_its_time_from_nowhere,
}


def some_runs() -> None:
    for seed in range(SEEDS):
        some_run(seed)


def some_run(seed: int) -> None:
    chance = random.Random(seed)
    steps = [
        Step(
            requests=tuple(
                Request(model_id=chance.choice(["m0", "m1"]), number=0, stream=chance.random() < 0.4)
                for _ in range(chance.choice([0, 1, 3]))
            ),
            fault=chance.choice(FAULTS).__name__ if chance.random() < 0.6 else "",
            where=chance.randrange(6),
            pause=chance.choice([0.1, 1.0, 4.0, 8.0]),
        )
        for _ in range(14)
    ]
    play(Setup(seed=seed, places=chance.choice([None, 1])), steps)


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS.keys())
def test_a_defect_is_found(defect: Defect) -> None:
    with defect(), pytest.raises(Broken):
        some_runs()


def test_without_a_defect_nothing_is_found() -> None:
    some_runs()
