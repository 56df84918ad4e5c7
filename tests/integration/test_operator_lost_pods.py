"""Pods that the cluster takes away, or loses with their node, are replaced at once. The tests play kubelet."""

import pytest

from hfmodel_operator.cluster.api import PODS, Json
from support.kubelet import BUSY, make_ready, put_status
from support.operator_rig import OperatorRig, StartRuntime

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}


async def replacement(rig: OperatorRig, old: Json) -> Json:
    async def look() -> tuple[Json, ...]:
        return tuple(pod for pod in await rig.pods("tiny") if pod["metadata"]["uid"] != old["metadata"]["uid"])

    (new,) = await rig.until("another pod in its place", look)
    return new


async def serves_again(rig: OperatorRig, new: Json, runtime: StartRuntime) -> None:
    await make_ready(rig.api, new, address=runtime().address)
    await rig.phase("tiny", "Ready")
    status = await rig.status("tiny")
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"phase": "Failed", "reason": "Evicted", "message": "low on resource: disk"}, id="is evicted"),
        pytest.param({"phase": "Failed", "conditions": [DISRUPTED]}, id="is preempted"),
        pytest.param({"phase": "Failed", "reason": "Terminated", "message": "shutdown"}, id="is shut down"),
        pytest.param({"reason": "NodeLost"}, id="is lost with its node"),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            id="is not heard of for a minute",
        ),
    ],
)
async def test_a_pod_that(status: Json, rig: OperatorRig, runtime: StartRuntime) -> None:
    rig.start_operator()
    old, state = await rig.ready_pod("tiny", runtime, scaling={"minReplicas": 1})
    state.activity = None
    await put_status(rig.api, old, status)
    new = await replacement(rig, old)
    await rig.until("the old pod is deleted", rig.is_gone(old))
    await serves_again(rig, new, runtime)


async def test_a_pod_whose_node_is_gone_is_replaced_though_it_never_goes(
    rig: OperatorRig, runtime: StartRuntime
) -> None:
    """The taint manager deletes it, and no kubelet is there to end it."""
    rig.start_operator()
    old, state = await rig.ready_pod("tiny", runtime, node="gone", scaling={"minReplicas": 1})
    state.activity = BUSY
    await rig.api.delete(PODS, old["metadata"]["name"], uid=old["metadata"]["uid"])
    new = await replacement(rig, old)
    await serves_again(rig, new, runtime)
    await rig.looked()
    left = {pod["metadata"]["uid"]: "deletionTimestamp" in pod["metadata"] for pod in await rig.pods("tiny")}
    assert left == {old["metadata"]["uid"]: True, new["metadata"]["uid"]: False}
