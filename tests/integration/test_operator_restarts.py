"""An operator that is killed in the middle of anything leaves nothing half done and makes nothing twice."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from hfmodel_operator.cluster.api import Json
from support.kubelet_auto import AutoCluster
from support.operator_gate import Call, Gate, Trap, When
from support.operator_rig import OperatorRig

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

# What is left of a model that was fetched, woken, changed, and sent to sleep.
AT_THE_END: Final[Json] = {
    "phase": "Asleep",
    "observedGeneration": 2,
    "replicas": 0,
    "readyReplicas": 0,
    "resolvedRevision": "abc",
    "cache": {"bytes": 7, "totalBytes": 7},
    "url": "http://router/models/tiny",
    "conditions": [
        ("Accepted", "True", "Accepted", "the spec can be served"),
        ("Cached", "True", "Cached", "the weights are in the cache"),
        ("Ready", "True", "Asleep", "no pod; the next request wakes it"),
        ("Reconciling", "False", "Asleep", ""),
        ("Stalled", "False", "Asleep", ""),
    ],
}


async def live(rig: OperatorRig, cluster: AutoCluster, *, before_sleep: Callable[[], None] | None = None) -> None:
    """A model's life. `before_sleep` runs when all that is left to do is to send it to sleep."""
    await rig.apply("tiny")
    await rig.phase("tiny", "Asleep")
    await rig.want("tiny")
    await rig.phase("tiny", "Ready")
    (old,) = await rig.pod("tiny")
    await rig.change("tiny", maxLength=64)
    await rig.until("the old pod is deleted", rig.is_gone(old))
    (new,) = await rig.pod("tiny")
    if before_sleep is not None:
        before_sleep()
    await rig.release("tiny")
    await rig.until("the new pod is deleted", rig.is_gone(new))
    await rig.until("the status is as it should be", lambda: ended_well(rig))


async def ended_well(rig: OperatorRig) -> bool:
    status = await rig.status("tiny")
    shown: Json = {key: status.get(key) for key in AT_THE_END}
    told = [(each["type"], each["status"], each["reason"], each["message"]) for each in status["conditions"]]
    return {**shown, "conditions": told} == AT_THE_END


async def was_made_once(rig: OperatorRig, gate: Gate, cluster: AutoCluster) -> None:
    assert (gate.made("POST jobs"), gate.made("POST pods")) == (1, 2)
    assert (len(cluster.jobs_seen), len(cluster.pods_seen)) == (1, 2)
    assert "Traceback" not in rig.logs()


def restart(rig: OperatorRig, gate: Gate) -> None:
    """SIGKILL, and another one in its place."""
    rig.operators[-1].kill()
    rig.operators[-1].wait()
    rig.start_operator(KUBECONFIG=str(gate.kubeconfig), POD_NAME="again")


def the_first(word: str) -> Callable[[Call], bool]:
    return lambda call: call.word == word


def the_next(word: str, gate: Gate) -> Callable[[Call], bool]:
    return lambda call: call.word == word and gate.made(word) == 1


def status_of(phase: str) -> Callable[[Call], bool]:
    def matches(call: Call) -> bool:
        return call.word == "PATCH hfmodels/status" and call.body["status"].get("phase") == phase

    return matches


STEPS: dict[str, Callable[[Gate], Callable[[Call], bool]]] = {
    "the fetch Job is made": lambda _: the_first("POST jobs"),
    "its outcome is noted": lambda _: the_first("PATCH jobs"),
    "Asleep is told": lambda _: status_of("Asleep"),
    "the pod is made": lambda _: the_first("POST pods"),
    "Starting is told": lambda _: status_of("Starting"),
    "Ready is told": lambda _: status_of("Ready"),
    "the pod of the new template is made": lambda gate: the_next("POST pods", gate),
    "the old pod is deleted": lambda _: the_first("DELETE pods"),
    "the retired pod is deleted": lambda gate: the_next("DELETE pods", gate),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_it_is_killed_when(step: str, when: When, rig: OperatorRig, gate: Gate, cluster: AutoCluster) -> None:
    async def spring() -> None:
        await asyncio.to_thread(restart, rig, gate)

    trap = Trap(STEPS[step](gate), when, spring)
    gate.traps.append(trap)
    rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await live(rig, cluster)
    assert trap.sprung.is_set()
    await was_made_once(rig, gate, cluster)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_it_is_killed_when_the_pod_is_asked_to_retire(
    when: When, rig: OperatorRig, gate: Gate, cluster: AutoCluster
) -> None:
    def set_trap() -> None:
        for state in cluster.runtimes.values():
            setattr(state, f"{when}_retiring", lambda: restart(rig, gate))

    rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await live(rig, cluster, before_sleep=set_trap)
    assert len(rig.operators) == 2
    await was_made_once(rig, gate, cluster)


async def test_it_is_not_killed_at_all(rig: OperatorRig, gate: Gate, cluster: AutoCluster) -> None:
    rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await live(rig, cluster)
    await was_made_once(rig, gate, cluster)
