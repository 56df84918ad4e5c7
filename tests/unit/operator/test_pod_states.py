"""Where a pod stands, and why it does not come up, read off what scheduler and kubelet say."""

import json
from datetime import timedelta
from typing import Any

import pytest

from hfmodel_api.status import Reason
from hfmodel_api.wire import Activity
from hfmodel_operator.cluster.api import Json
from hfmodel_operator.cluster.pod_state import UNREADY_LIMIT, Heard, observed_pod
from hfmodel_operator.observed import PodState
from support.kube_objects import NOON, READY, container, pod_object, serving

IDLE = Activity(running=0, queued=0, requests_total=1, idle_seconds=5)
RUNNING = {"running": {"startedAt": "2026-03-01T11:59:20Z"}}
FETCH_DONE = container({"terminated": {"exitCode": 0, "finishedAt": "2026-03-01T11:59:10Z"}}, name="fetch")
WORD = json.dumps({"reason": "ConfigInvalid", "message": "no config.json", "retryable": False})
UNREADY = {**READY, "status": "False", "lastTransitionTime": "2026-03-01T11:59:50Z"}


def waiting(reason: str, message: str = "", **last: Any) -> Json:
    return container({"waiting": {"reason": reason, "message": message}}, **last)


def ended(**terminated: Any) -> Json:
    return container({"terminated": {"exitCode": 1, **terminated}})


def unscheduled(message: str) -> Json:
    return pod_object(
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    )


@pytest.mark.parametrize(
    ("pod", "heard", "state"),
    [
        pytest.param(pod_object(), Heard(), PodState.STARTING, id="just created"),
        pytest.param(
            pod_object(fetches=True, init_containers=[container(RUNNING, name="fetch")]),
            Heard(),
            PodState.FETCHING,
            id="its weights are on their way",
        ),
        pytest.param(
            pod_object(fetches=True, init_containers=[FETCH_DONE], containers=[container(RUNNING, started=False)]),
            Heard(),
            PodState.STARTING,
            id="fetched, and loads",
        ),
        pytest.param(pod_object(containers=[serving()], conditions=[READY]), Heard(), PodState.READY, id="ready"),
        pytest.param(
            pod_object(containers=[serving()], conditions=[READY]), Heard(retired=True), PodState.RETIRED, id="agreed"
        ),
        pytest.param(
            pod_object(containers=[serving()], conditions=[UNREADY]),
            Heard(activity=IDLE.model_copy(update={"retired": True})),
            PodState.RETIRED,
            id="says that it retired",
        ),
        pytest.param(
            pod_object(containers=[serving(ready=False)], conditions=[UNREADY]),
            Heard(activity=IDLE),
            PodState.READY,
            id="missed a probe",
        ),
        pytest.param(
            pod_object(containers=[serving()], conditions=[READY], going=True), Heard(), PodState.GOING, id="going"
        ),
        pytest.param(
            pod_object(containers=[container(RUNNING, started=False, restartCount=1)]),
            Heard(),
            PodState.STARTING,
            id="restarted by the kubelet",
        ),
        pytest.param(
            pod_object(containers=[ended(message="Traceback")]), Heard(), PodState.STARTING, id="crashed once"
        ),
        pytest.param(
            pod_object(containers=[waiting("ErrImagePull", "timeout")]), Heard(), PodState.STARTING, id="pull is slow"
        ),
    ],
)
def test_the_state_of_a_pod(pod: Json, heard: Heard, state: PodState) -> None:
    found = observed_pod(pod, heard, NOON)
    assert (found.state, found.failure) == (state, None)


LAST: Any = {"lastState": {"terminated": {"exitCode": 3, "message": "one\ntwo\n\nthree"}}}


@pytest.mark.parametrize(
    ("pod", "reason", "says", "permanent"),
    [
        pytest.param(
            pod_object(containers=[ended(message=f"a log line\n{WORD}")]),
            Reason.CONFIG_INVALID,
            "no config.json",
            True,
            id="the runtime's own word",
        ),
        pytest.param(
            pod_object(fetches=True, init_containers=[{**ended(message=WORD), "name": "fetch"}]),
            Reason.CONFIG_INVALID,
            "no config.json",
            True,
            id="the fetch's own word",
        ),
        pytest.param(
            pod_object(containers=[waiting("CrashLoopBackOff", **LAST)]),
            Reason.CRASH_LOOP,
            "exit code 3: one | two | three",
            False,
            id="a crash loop, with the end of the log",
        ),
        pytest.param(
            pod_object(containers=[waiting("CrashLoopBackOff")]), Reason.CRASH_LOOP, "unknown", False, id="no word"
        ),
        pytest.param(
            pod_object(containers=[ended(reason="OOMKilled", exitCode=137)]),
            Reason.OUT_OF_MEMORY,
            "limits.memory",
            False,
            id="out of memory",
        ),
        pytest.param(
            pod_object(fetches=True, init_containers=[{**ended(reason="OOMKilled", exitCode=137), "name": "fetch"}]),
            Reason.OUT_OF_MEMORY,
            "limits.memory of the Helm value fetch.resources",
            False,
            id="the fetch out of memory",
        ),
        pytest.param(
            pod_object(containers=[waiting("ErrImagePull", "manifest unknown")]),
            Reason.IMAGE_PULL_FAILED,
            "manifest unknown",
            True,
            id="no such image",
        ),
        pytest.param(
            pod_object(containers=[waiting("ImagePullBackOff", "Back-off pulling")]),
            Reason.IMAGE_PULL_FAILED,
            "runtime:1",
            False,
            id="the image does not come",
        ),
        pytest.param(
            pod_object(containers=[waiting("CreateContainerConfigError", 'secret "hub" not found')]),
            Reason.SECRET_MISSING,
            'secret "hub" not found',
            False,
            id="no such secret",
        ),
        pytest.param(
            pod_object(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            Reason.OUT_OF_MEMORY,
            "low on resource",
            False,
            id="evicted",
        ),
        pytest.param(
            pod_object(
                containers=[serving(ready=False)],
                conditions=[{**UNREADY, "lastTransitionTime": (NOON - UNREADY_LIMIT).isoformat()}],
            ),
            Reason.CRASH_LOOP,
            "its node is lost",
            False,
            id="not ready for a minute",
        ),
        pytest.param(
            pod_object(phase="Failed", reason="OutOfnvidia.com/gpu", message="Node didn't have enough resource"),
            Reason.UNSCHEDULABLE,
            "the cluster took the pod away: Node didn't have enough resource",
            False,
            id="not admitted by its node",
        ),
        pytest.param(
            pod_object(phase="Failed", message="its deadline has passed"),
            Reason.CRASH_LOOP,
            "the pod has ended: its deadline has passed",
            False,
            id="ended for another reason",
        ),
    ],
)
def test_why_a_pod_failed(pod: Json, reason: Reason, says: str, permanent: bool) -> None:
    found = observed_pod(pod, Heard(), NOON)
    assert found.state is PodState.FAILED
    assert found.failure is not None
    assert (found.failure.reason, found.failure.permanent) == (reason, permanent)
    assert says in found.failure.message


PREEMPTED = {"type": "DisruptionTarget", "status": "True", "message": "preempted by a pod of higher priority"}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        pytest.param({"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}, "disk", id="evicted"),
        pytest.param({"phase": "Failed", "reason": "Terminated", "message": "shutdown"}, "shutdown", id="shut down"),
        pytest.param({"phase": "Failed", "conditions": [PREEMPTED]}, "higher priority", id="preempted"),
        pytest.param({"phase": "Running", "reason": "NodeLost"}, "NodeLost", id="its node is lost"),
    ],
)
def test_a_pod_that_was_taken_away_is_told_from_one_that_failed(status: Json, says: str) -> None:
    found = observed_pod(pod_object(containers=[serving()], **status), Heard(), NOON)
    assert found.state is PodState.FAILED
    assert found.failure is not None
    assert (found.failure.taken, found.failure.permanent) == (True, False)
    assert says in found.failure.message


@pytest.mark.parametrize(
    ("message", "reason", "unschedulable"),
    [
        pytest.param("0/3 nodes: 3 Insufficient nvidia.com/gpu", Reason.UNSCHEDULABLE, True, id="no room"),
        pytest.param('persistentvolumeclaim "x" not found', Reason.VOLUME_NOT_BOUND, False, id="no volume"),
        pytest.param(
            "pod has unbound immediate PersistentVolumeClaims", Reason.VOLUME_NOT_BOUND, False, id="volume not bound"
        ),
    ],
)
def test_a_pod_without_a_node_waits_in_the_schedulers_words(message: str, reason: Reason, unschedulable: bool) -> None:
    found = observed_pod(unscheduled(message), Heard(), NOON)
    assert (found.state, found.unschedulable) == (PodState.STARTING, unschedulable)
    assert found.failure is not None
    assert (found.failure.reason, found.failure.message) == (reason, message)


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [
        pytest.param(pod_object(fetches=True, init_containers=[FETCH_DONE]), 10, id="its fetch ended"),
        pytest.param(pod_object(containers=[container(RUNNING, restartCount=1)]), 20, id="it was restarted"),
    ],
)
def test_a_start_counts_from_when(pod: Json, seconds: int) -> None:
    found = observed_pod(pod, Heard(), NOON)
    assert found.starting_since == found.created_at + timedelta(seconds=seconds)


def test_a_pod_that_did_not_answer_is_unknown() -> None:
    found = observed_pod(pod_object(containers=[serving()], conditions=[READY]), Heard(at=NOON), NOON)
    assert found.activity is None
