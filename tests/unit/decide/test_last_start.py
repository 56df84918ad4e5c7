"""status.lastStart: where the seconds of the last start went."""

from datetime import datetime
from typing import Any

import pytest

from hfmodel_api.status import HFModelStatus, LastStart
from hfmodel_api.wire import Activity, Start
from hfmodel_operator.observed import ObservedPod, PodState
from hfmodel_operator.starts import last_start
from support.decider_values import ago, model, pod

TOLD = {"port": 0.3, "imports": 1.0, "weights": 0.5, "warm-up": 0.2}


def started(name: str = "p0", *, age: float = 100.0, began: float | None = None, **fields: Any) -> ObservedPod:
    """A ready pod, created `age` seconds ago, whose process began `began` seconds ago."""
    began_at = ago(age - 1.5 if began is None else began)
    activity = Activity(
        running=0, queued=0, requests_total=1, idle_seconds=1, start=Start(began_at=began_at, stages=TOLD)
    )
    return pod(name, PodState.READY, age=age, activity=activity, **{"ready_at": ago(age - 4), **fields})


def test_it_names_every_stage_from_the_want_to_being_seen() -> None:
    found = last_start(model("m", started(scheduled_at=ago(99.5)), wanted=100.25))
    assert found == LastStart(
        at=ago(100),
        stages={"decide": 0.25, "schedule": 0.5, "container": 1.0, **TOLD, "seen": 0.5},
    )


def test_downloading_is_no_stage_of_it() -> None:
    found = last_start(model("m", started(starting_since=ago(99))))
    assert found is not None
    assert found.stages["container"] == 0.5


@pytest.mark.parametrize("wanted", [None, 50.0], ids=["nobody wanted it", "wanted again since"])
def test_without_its_want_there_is_no_decide(wanted: float | None) -> None:
    found = last_start(model("m", started(), wanted=wanted))
    assert found is not None
    assert "decide" not in found.stages


def test_clocks_that_differ_make_no_stage_negative() -> None:
    found = last_start(model("m", started(began=120)))
    assert found is not None
    assert found.stages["container"] == 0.0


def test_it_is_of_the_youngest_pod() -> None:
    found = last_start(model("m", started("old", age=200), started("new", age=100)))
    assert found is not None
    assert found.at == ago(100)


@pytest.mark.parametrize(
    ("pods", "at"),
    [((), ago(500)), ((pod("p0", age=100),), ago(500)), ((started(age=500, scheduled_at=ago(499)),), ago(500))],
    ids=["no pod", "a pod that has not told", "the same pod, known better later"],
)
def test_what_was_written_stays(pods: tuple[ObservedPod, ...], at: datetime) -> None:
    written = LastStart(at=at, stages={"imports": 9.0})
    assert last_start(model("m", *pods, status=HFModelStatus(last_start=written))) == written
