"""A pod that waits for something nameable: its model says for what, in the words of whoever knows."""

from hfmodel_api.status import ConditionType, Phase, Reason
from hfmodel_operator.observed import PodFailure, PodState
from support.decider_values import model, plan_of, pod, status_of

NO_VOLUME = PodFailure(Reason.VOLUME_NOT_BOUND, "the volume is not bound")


def test_the_status_says_what_the_pod_waits_for() -> None:
    status = status_of(plan_of(model("m", pod(state=PodState.STARTING, age=1, failure=NO_VOLUME))))
    ready = next(found for found in status.conditions if found.type is ConditionType.READY)
    assert (status.phase, ready.status) == (Phase.STARTING, "Unknown")
    assert (ready.reason, ready.message) == (Reason.VOLUME_NOT_BOUND, "the volume is not bound")


def test_what_it_waited_for_is_why_it_failed_in_the_end() -> None:
    (delete,) = plan_of(model("m", pod(state=PodState.STARTING, age=600, failure=NO_VOLUME))).deletes
    assert delete.failure == PodFailure(Reason.VOLUME_NOT_BOUND, "the volume is not bound (for 10m)")
