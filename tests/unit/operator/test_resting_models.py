"""A model for which nothing is to be done is left alone until something about it changes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hfmodel_operator.cluster.api import CLAIMS, Json
from hfmodel_operator.cluster.facts import Need
from hfmodel_operator.cluster.observe import Look, Picture, observe
from hfmodel_operator.cluster.pod_state import Heard
from hfmodel_operator.cluster.seen import Rest, rests
from hfmodel_operator.observed import Settings
from support.kube_objects import NOON, SETTINGS, hfmodel, job_object, model_object, pod_object, serving

THING = model_object()
UID = THING["metadata"]["uid"]
LATER = NOON + timedelta(seconds=30)
PICTURE = Picture(models=(THING,), facts={Need(CLAIMS, "cache"): True})


def look_again(picture: Picture = PICTURE, *, seconds: float = 1) -> Look:
    """At noon there was nothing to do about the model; this is a look `seconds` later."""
    first = observe(PICTURE, SETTINGS, Settings(), NOON)
    resting = {UID: Rest(NOON, LATER, None)}
    return observe(picture, SETTINGS, Settings(), NOON + timedelta(seconds=seconds), before=first.seen, resting=resting)


def test_a_model_that_rests_is_seen_and_not_decided_on() -> None:
    look = look_again()
    assert [model.model.id for model in look.observed.models] == ["tiny"]
    assert (look.awake.models, list(look.rested), list(look.books)) == ((), [UID], [UID])
    assert look.needs == {Need(CLAIMS, "cache")}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"models": (model_object(maxLength=9),)}, id="its spec"),
        pytest.param({"models": (model_object(status={"phase": "Asleep"}),)}, id="its status"),
        pytest.param({"pods": (pod_object(),)}, id="a pod of it"),
        pytest.param({"jobs": (job_object(hfmodel()),)}, id="a Job of it"),
        pytest.param({"facts": {Need(CLAIMS, "cache"): False}}, id="what it needs"),
        pytest.param({"facts": {}}, id="whether that is known"),
    ],
)
def test_what_wakes_it(change: dict[str, Any]) -> None:
    look = look_again(replace(PICTURE, **change))
    assert ([model.model.id for model in look.awake.models], look.rested) == (["tiny"], {})


@pytest.mark.parametrize(
    ("heard", "rests"),
    [
        pytest.param({"uid-tiny-1": Heard(at=NOON)}, True, id="nothing new"),
        pytest.param({"uid-tiny-1": Heard(at=NOON + timedelta(seconds=1))}, False, id="something new"),
        pytest.param({}, False, id="nothing any more"),
    ],
)
def test_what_its_pods_say_wakes_it(heard: dict[str, Heard], rests: bool) -> None:
    picture = replace(PICTURE, pods=(pod_object(containers=[serving()]),), heard={"uid-tiny-1": Heard(at=NOON)})
    first = observe(picture, SETTINGS, Settings(), NOON)
    again = replace(picture, heard=heard)
    later, resting = NOON + timedelta(seconds=1), {UID: Rest(NOON, LATER, None)}
    look = observe(again, SETTINGS, Settings(), later, before=first.seen, resting=resting)
    assert (UID in look.rested) is rests


@pytest.mark.parametrize(
    "seconds", [pytest.param(30, id="its time is over"), pytest.param(-1, id="the clock went back")]
)
def test_when_it_is_looked_at_anyway(seconds: float) -> None:
    assert len(look_again(seconds=seconds).awake.models) == 1


def test_a_model_that_is_gone_rests_no_more() -> None:
    look = look_again(Picture())
    assert (look.rested, look.seen, look.books) == ({}, {}, {})


@pytest.mark.parametrize(
    ("due", "until"),
    [
        pytest.param(None, 40, id="nothing is due"),
        pytest.param(NOON + timedelta(seconds=50), 40, id="due later"),
        pytest.param(NOON + timedelta(seconds=5), 5, id="due sooner"),
    ],
)
def test_how_long_it_rests(due: Any, until: float) -> None:
    awake = observe(PICTURE, SETTINGS, Settings(), NOON).awake
    found = rests({"tiny": due}, awake, now=NOON, longest=lambda: timedelta(seconds=40))
    assert found == {UID: Rest(NOON, NOON + timedelta(seconds=until), due)}


def test_who_is_not_to_rest_does_not() -> None:
    awake = observe(PICTURE, SETTINGS, Settings(), NOON).awake
    assert rests({}, awake, now=NOON, longest=lambda: timedelta(seconds=40)) == {}


@pytest.mark.parametrize(
    ("changed", "same_model", "same_status"),
    [
        pytest.param({}, True, True, id="nothing"),
        pytest.param({"status": {"phase": "Asleep"}}, True, False, id="the status"),
        pytest.param({"maxLength": 9}, False, False, id="the spec"),
    ],
)
def test_what_is_read_again(changed: Json, same_model: bool, same_status: bool) -> None:
    before = observe(PICTURE, SETTINGS, Settings(), NOON).seen
    thing = model_object(**changed)
    thing["metadata"]["resourceVersion"] = "99"
    after = observe(Picture(models=(thing,)), SETTINGS, Settings(), NOON, before=before).seen
    old, new = before[UID].parsed, after[UID].parsed
    assert (new.model is old.model, new.status is old.status) == (same_model, same_status)
