"""Models that need not be decided on again until something about them changes, or until a given time."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from hfmodel_operator.observed import ObservedPod, PodState, Settings
from support.decider_values import SETTINGS, ago, at, idle, model, plan_of, pod, settled, working

LIMITED = replace(SETTINGS, max_loaded_models=3)
SERVING = pod(age=60, activity=idle(50), activity_at=ago(0))


def rests(*pods: ObservedPod, settings: Settings = SETTINGS, **about: Any) -> dict[str, datetime | None]:
    return dict(plan_of(settled(model("m", *pods, **about), settings=settings), settings=settings).rests)


@pytest.mark.parametrize(
    ("pods", "about", "until"),
    [
        pytest.param((), {}, None, id="asleep: for ever"),
        pytest.param((SERVING,), {"scaling": {"idle_timeout": 300}}, at(250), id="idle: until it may sleep"),
        pytest.param((SERVING,), {"scaling": {"min_replicas": 1}}, None, id="pinned: for ever"),
        pytest.param((replace(SERVING, activity=working(1)),), {}, None, id="busy: until it says something else"),
        pytest.param(
            (SERVING,),
            {"wanted": 2, "scaling": {"idle_timeout": 300}},
            at(3),
            id="wanted a moment ago: until the want counts as met",
        ),
    ],
)
def test_who_rests_and_until_when(pods: tuple[ObservedPod, ...], about: dict[str, Any], until: datetime | None) -> None:
    assert rests(*pods, **about) == {"m": until}


@pytest.mark.parametrize(
    ("pods", "settings"),
    [
        pytest.param((pod(state=PodState.STARTING),), SETTINGS, id="a pod that starts"),
        pytest.param(
            (pod(state=PodState.RETIRED, activity=idle(9), activity_at=ago(0)),), SETTINGS, id="one that goes"
        ),
        pytest.param((replace(SERVING, activity=None),), SETTINGS, id="one that did not answer"),
        pytest.param(
            (replace(SERVING, activity_at=None),), SETTINGS, id="one of which it is not known when it answered"
        ),
        pytest.param((SERVING,), LIMITED, id="one that has a place in the pool"),
    ],
)
def test_who_does_not_rest(pods: tuple[ObservedPod, ...], settings: Settings) -> None:
    assert rests(*pods, settings=settings) == {}
