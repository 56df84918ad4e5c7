"""What comes between an operator and its cluster: another operator, an outage, a crowd, a newer version."""

import asyncio
import copy
import signal
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from hfmodel_api.names import GROUP, PLURAL
from hfmodel_operator.cluster.api import HFMODELS, JOBS, PODS, Json, KubeApi
from hfmodel_operator.cluster.together import AT_ONCE
from support.kubelet import BUSY
from support.kubelet_auto import AutoCluster
from support.operator_gate import Away, Gate, Trap
from support.operator_rig import OperatorRig, StartRuntime

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

CRD: Final = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"
CROWD: Final = 50
MERGE: Final = "application/merge-patch+json"


async def test_one_that_was_stopped_beyond_its_lease_does_not_finish_what_it_began(
    rig: OperatorRig, gate: Gate
) -> None:
    """It wants to make more pods than it asks for at a time, and is stopped while the server makes the first."""
    names = [f"crowd-{number}" for number in range(AT_ONCE + 4)]
    for name in names:
        await rig.apply(name, cache={"prefetch": False})
        await rig.want(name)

    async def stop() -> None:
        rig.operators[0].send_signal(signal.SIGSTOP)

    made = Trap(lambda call: call.word == "POST pods", "after", stop, cuts=False)
    gate.traps.append(made)
    stopped = rig.start_operator(KUBECONFIG=str(gate.kubeconfig), POD_NAME="first")
    await made.sprung.wait()
    rig.start_operator(POD_NAME="second")
    for name in names:
        await rig.pod(name)
    stopped.send_signal(signal.SIGCONT)
    await rig.said(0, "event=lease_not_held")
    await rig.looked()
    writes = [call.word for call in gate.writes() if call.word.startswith(("POST pods", "DELETE", "PATCH hfmodels"))]
    assert set(writes) == {"POST pods"}
    assert len(writes) <= AT_ONCE, "only what was on its way when it was stopped"
    assert [len(await rig.pods(name)) for name in names] == [1] * len(names)
    assert ((await rig.holder()) or "").startswith("second")


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_it_outlives_a_server_that(how: Away, rig: OperatorRig, gate: Gate, cluster: AutoCluster) -> None:
    operator = rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await rig.apply("tiny")
    await rig.phase("tiny", "Asleep")
    gate.go_away(how)
    await rig.want("tiny")
    await rig.said(0, "event=lease_not_held")
    gate.come_back()
    await rig.phase("tiny", "Ready")
    await rig.looked()
    assert len(await rig.pods("tiny")) == 1
    assert operator.poll() is None
    assert "Traceback" not in rig.logs()


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_it_ends_when_told_while_the_server(how: Away, rig: OperatorRig, gate: Gate) -> None:
    operator = rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await rig.looked()
    gate.go_away(how)
    operator.terminate()
    assert await asyncio.to_thread(operator.wait, 25) == 0


async def test_what_somebody_else_writes_into_a_status_is_put_right(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.asleep("tiny")
    wrong = {"phase": "Ready", "readyReplicas": 9, "conditions": []}
    await rig.api.patch(HFMODELS, "tiny", {"status": wrong}, part="status")
    await rig.reason("tiny", "Ready", "Asleep")
    status = await rig.status("tiny")
    assert (status["phase"], status["readyReplicas"], len(status["conditions"])) == ("Asleep", 0, 5)


async def test_wants_that_are_written_meanwhile_are_not_lost(
    rig: OperatorRig, gate: Gate, runtime: StartRuntime
) -> None:
    """The router writes demand while the server is about to take the operator's status."""
    wanted: list[Json] = []

    async def want() -> None:
        wanted.append(await rig.want("tiny"))

    gate.traps.append(Trap(lambda call: call.word == "PATCH hfmodels/status", "before", want))
    rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    await rig.apply("tiny", cache={"prefetch": False})
    (pod,) = await rig.pod("tiny")
    await rig.reason("tiny", "Ready", "Starting")
    assert (await rig.status("tiny"))["demand"] == wanted[0]["status"]["demand"]
    assert pod["metadata"]["name"]


async def test_models_that_are_gone_at_once_leave_nothing_of_nobodys(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.looked()
    uids = set()
    for number in range(20):
        model = await rig.apply(f"brief-{number}", scaling={"minReplicas": 1})
        uids.add(model["metadata"]["uid"])
        await rig.api.delete(HFMODELS, model["metadata"]["name"], uid=model["metadata"]["uid"])
    await rig.looked()
    made = [*(await rig.api.list(JOBS)).items, *(await rig.api.list(PODS)).items]
    assert {owner["uid"] for thing in made for owner in thing["metadata"]["ownerReferences"]} <= uids
    log = rig.logs()
    assert not any(word in log for word in ("Traceback", " ERROR ", "round_failed", "round_broken"))


async def test_many_models_at_once_settle_with_few_calls(rig: OperatorRig, gate: Gate, cluster: AutoCluster) -> None:
    names = [f"crowd-{number}" for number in range(CROWD)]
    for name in names:
        await rig.apply(name)
    rig.start_operator(KUBECONFIG=str(gate.kubeconfig))
    for name in names:
        await rig.phase(name, "Asleep")
    assert gate.made("POST jobs") == gate.made("PATCH jobs") == CROWD
    for name in names:
        await rig.want(name)
    for name in names:
        await rig.phase(name, "Ready")
    assert gate.made("POST pods") == CROWD
    # For each at most: a Job and its outcome, a pod; four phases, and that the want was met; an Event of the pod, and
    # one of each phase. For all: what must stay in the cache.
    shared = ("leases", "configmaps")
    assert len([call for call in gate.writes() if not call.word.endswith(shared)]) <= 13 * CROWD
    assert gate.made("PATCH configmaps") < CROWD
    # What is read does not grow with the models.
    assert len([call for call in gate.calls if call.word.startswith("GET") and "leases" not in call.word]) < CROWD
    assert "Traceback" not in rig.logs()


@pytest.fixture
async def newer_crd(rig: OperatorRig) -> AsyncIterator[None]:
    """The CRD of a version to come: one more field in spec, one more word in status."""
    before = await rig.api.call("GET", CRD)
    await _replace_versions(rig.api, before["spec"]["versions"], add=True)
    yield
    await _replace_versions(rig.api, before["spec"]["versions"], add=False)


async def _replace_versions(api: KubeApi, versions: list[Json], *, add: bool) -> None:
    found: Any = copy.deepcopy(versions)
    if add:
        schema = found[0]["schema"]["openAPIV3Schema"]["properties"]
        schema["spec"]["properties"]["quantization"] = {"type": "string"}
        schema["status"]["properties"]["mood"] = {"type": "string"}
    await api.call("PATCH", CRD, body={"spec": {"versions": found}}, content_type=MERGE)


@pytest.mark.usefixtures("newer_crd")
async def test_a_field_of_a_newer_version_is_named_and_nothing_else_suffers(
    rig: OperatorRig, runtime: StartRuntime
) -> None:
    rig.start_operator()
    pod, state = await rig.ready_pod("tiny", runtime)
    state.activity = BUSY
    await rig.change("tiny", quantization="int4")
    accepted = await rig.reason("tiny", "Accepted", "InvalidSpec")
    assert "spec.quantization" in accepted["message"]
    await rig.asleep("other")
    assert [found["metadata"]["uid"] for found in await rig.pods("tiny")] == [pod["metadata"]["uid"]]


@pytest.mark.usefixtures("newer_crd")
async def test_a_status_of_a_newer_version_is_read_as_far_as_it_is_known(rig: OperatorRig) -> None:
    await rig.apply("tiny")
    newer = {
        "observedGeneration": 1,
        "phase": "Dreaming",
        "mood": "good",
        "resolvedRevision": "abc",
        "conditions": [{"type": "Dreamt", "status": "True", "reason": "Night"}],
    }
    await rig.api.patch(HFMODELS, "tiny", {"status": newer}, part="status")
    rig.start_operator()
    await rig.phase("tiny", "Fetching")
    status = await rig.status("tiny")
    assert (status["resolvedRevision"], status["mood"]) == ("abc", "good")
    assert "Traceback" not in rig.logs()
