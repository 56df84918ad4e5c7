"""The operator as a process against a real API server. The tests play scheduler, kubelet and Job controller."""

import asyncio
import json
import signal
import socket

import aiohttp
import pytest

from hfmodel_api.names import LABEL_TEMPLATE_HASH
from hfmodel_operator.cluster.api import EVENTS, HFMODELS, JOBS, PODS, SECRETS, Json
from hfmodel_operator.cluster.labels import OURS
from support.kubelet import BUSY, IDLE, finish_job, make_fail, make_fetch, make_ready, make_unschedulable
from support.operator_rig import FETCHED, OperatorRig, StartRuntime

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow


async def test_an_applied_model_is_fetched_and_sleeps_without_a_pod(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.asleep("tiny")
    status = await rig.status("tiny")
    assert (status["resolvedRevision"], status["cache"]) == ("abc", {"bytes": 7, "totalBytes": 7})
    assert (await rig.condition("tiny", "Cached"))["status"] == "True"
    assert (await rig.condition("tiny", "Ready"))["status"] == "True"
    assert await rig.pods("tiny") == ()


async def test_what_was_fetched_is_known_after_the_jobs_pod_is_gone(rig: OperatorRig) -> None:
    operator = rig.start_operator()
    await rig.asleep("tiny")
    operator.terminate()
    assert await asyncio.to_thread(operator.wait, 20) == 0
    for pod in (await rig.api.list(PODS, labels=OURS)).items:
        await rig.api.delete(PODS, pod["metadata"]["name"], uid=pod["metadata"]["uid"])
    rig.start_operator()
    await rig.looked()
    assert len(await rig.jobs("tiny")) == 1
    assert (await rig.condition("tiny", "Cached"))["status"] == "True"


async def test_a_wanted_model_gets_a_pod_and_is_ready_with_it(rig: OperatorRig, runtime: StartRuntime) -> None:
    rig.start_operator()
    pod, _ = await rig.ready_pod("tiny", runtime)
    model = await rig.model("tiny")
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (model["metadata"]["uid"], True)
    assert pod["metadata"]["labels"][LABEL_TEMPLATE_HASH]
    assert "initContainers" not in pod["spec"]
    status = model["status"]
    assert (status["replicas"], status["readyReplicas"], status["url"]) == (1, 1, "http://router/models/tiny")
    assert status["startSeconds"] >= 0
    assert status["demand"]["wantedAt"]


async def test_a_pod_fetches_what_is_not_in_the_cache(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny", cache={"prefetch": False}, tokenSecretRef={"name": "hub"})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": {"HF_TOKEN": "x"}}
    await rig.api.create(SECRETS, secret)
    await rig.phase("tiny", "Asleep")
    await rig.want("tiny")
    (pod,) = await rig.pod("tiny")
    assert [container["name"] for container in pod["spec"]["initContainers"]] == ["fetch"]
    await make_fetch(rig.api, pod, state={"running": {}})
    await rig.reason("tiny", "Ready", "Fetching")
    await make_fetch(rig.api, pod, state={"terminated": {"exitCode": 0, "message": FETCHED}})
    await rig.reason("tiny", "Cached", "Cached")
    assert (await rig.status("tiny"))["resolvedRevision"] == "abc"
    assert await rig.jobs("tiny") == ()
    assert len(await rig.pods("tiny")) == 1


async def test_its_liveness_is_asked_over_http(rig: OperatorRig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        health = free.getsockname()[1]
    rig.start_operator(HFMODEL_HEALTH_PORT=str(health))

    async def alive() -> bool:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{health}/healthz") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

    await rig.until("it says that it lives", alive)


async def test_what_it_may_not_see_ends_it_with_the_servers_words(rig: OperatorRig) -> None:
    operator = rig.start_operator(WATCH_NAMESPACE="elsewhere")
    assert await asyncio.to_thread(operator.wait, 20) == 1
    assert "hfmodel-operator: 403: hfmodels.hfmodel.dev is forbidden" in rig.logs()


async def test_an_idle_model_is_asked_to_retire_and_only_then_deleted(rig: OperatorRig, runtime: StartRuntime) -> None:
    rig.start_operator()
    pod, state = await rig.ready_pod("tiny", runtime, scaling={"idleTimeout": "1s"})
    await rig.until("the pod is deleted", rig.is_gone(pod))
    assert state.asked_to_retire == [1.0]
    await rig.phase("tiny", "Asleep")


async def test_a_changed_spec_replaces_the_pod_once_the_new_one_is_ready(
    rig: OperatorRig, runtime: StartRuntime
) -> None:
    rig.start_operator()
    old, state = await rig.ready_pod("tiny", runtime)
    state.activity = BUSY
    await rig.change("tiny", maxLength=64)
    pods = await rig.pod("tiny", count=2)
    (new,) = (pod for pod in pods if pod["metadata"]["uid"] != old["metadata"]["uid"])
    assert new["metadata"]["labels"][LABEL_TEMPLATE_HASH] != old["metadata"]["labels"][LABEL_TEMPLATE_HASH]
    await rig.looked()
    assert len(await rig.pods("tiny")) == 2
    await make_ready(rig.api, new, address=runtime().address)
    (left,) = await rig.pod("tiny", count=1)
    assert left["metadata"]["uid"] == new["metadata"]["uid"]


async def test_a_failed_pod_is_explained_and_deleted(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.asleep("tiny")
    await rig.want("tiny")
    (pod,) = await rig.pod("tiny")
    word = json.dumps({"reason": "WeightsInvalid", "message": "the weights are torn", "retryable": False})
    await make_fail(rig.api, pod, state={"terminated": {"exitCode": 1, "message": word}})
    await rig.until("the pod is deleted", rig.is_gone(pod))
    ready = await rig.reason("tiny", "Ready", "WeightsInvalid")
    assert (ready["status"], ready["message"]) == ("False", "the weights are torn")
    await rig.phase("tiny", "Failed")

    async def warning() -> bool:
        events = (await rig.api.list(EVENTS)).items
        return any(event["reason"] == "WeightsInvalid" and event["type"] == "Warning" for event in events)

    await rig.until("an Event tells of it", warning)


async def test_after_a_failed_start_the_weights_are_looked_for_anew(rig: OperatorRig) -> None:
    rig.start_operator()
    pod = await rig.wake("tiny")
    word = json.dumps({"reason": "ConfigInvalid", "message": "there is no config.json", "retryable": False})
    await make_fail(rig.api, pod, state={"terminated": {"exitCode": 1, "message": word}})
    await rig.phase("tiny", "Failed")
    await rig.until("the pod is deleted", rig.is_gone(pod))
    await rig.want("tiny")
    (again,) = await rig.pod("tiny")
    assert "initContainers" not in pod["spec"]
    assert [container["name"] for container in again["spec"]["initContainers"]] == ["fetch"]


async def test_an_unschedulable_pod_is_told_in_the_schedulers_words(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.asleep("tiny")
    await rig.want("tiny")
    (pod,) = await rig.pod("tiny")
    await make_unschedulable(rig.api, pod, message="0/3 nodes are available: 3 Insufficient memory.")
    ready = await rig.reason("tiny", "Ready", "Unschedulable")
    assert "3 Insufficient memory" in ready["message"]


async def test_a_failed_fetch_is_told_and_tried_again(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    word = json.dumps({"event": "error", "reason": "HubUnreachable", "message": "no answer", "retryable": True})
    await finish_job(rig.api, job, message=f"some log\n{word}", succeeded=False)

    async def next_job() -> tuple[Json, ...]:
        jobs = await rig.jobs("tiny")
        return tuple(found for found in jobs if found["metadata"]["uid"] != job["metadata"]["uid"])

    (again,) = await rig.until("another fetch Job", next_job)
    assert again["metadata"]["labels"]["hfmodel.dev/attempt"] == "2"
    await finish_job(rig.api, again, message=word, succeeded=False)
    assert (await rig.reason("tiny", "Cached", "HubUnreachable"))["message"] == "no answer"


async def test_a_missing_secret_is_a_condition_until_it_is_there(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny", tokenSecretRef={"name": "hub"})
    accepted = await rig.reason("tiny", "Accepted", "SecretMissing")
    assert accepted["status"] == "False"
    assert "'hub'" in accepted["message"]
    assert await rig.jobs("tiny") == ()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": {"HF_TOKEN": "x"}}
    await rig.api.create(SECRETS, secret)
    await rig.until("a fetch Job", lambda: rig.jobs("tiny"))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"scaling": {"minReplicas": 2, "maxReplicas": 1}}, "InvalidSpec", id="a broken rule"),
        pytest.param({"source": {"path": "/models"}}, "SourceNotSupported", id="a path of one machine"),
        pytest.param({"gpu": {"profile": "a100"}}, "ProfileUnknown", id="an unknown profile"),
    ],
)
async def test_what_cannot_be_served_is_not_accepted(spec: Json, reason: str, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny", **spec)
    assert (await rig.reason("tiny", "Accepted", reason))["status"] == "False"
    await rig.phase("tiny", "Failed")


async def test_a_restart_of_the_operator_is_not_idleness(rig: OperatorRig, runtime: StartRuntime) -> None:
    operator = rig.start_operator()
    pod, state = await rig.ready_pod("tiny", runtime, scaling={"idleTimeout": "1s"})
    state.activity = None
    operator.kill()
    await asyncio.to_thread(operator.wait)
    rig.start_operator()
    await rig.looked()
    assert not await rig.is_gone(pod)()
    assert state.asked_to_retire == []
    state.activity = IDLE
    await rig.until("the pod is deleted", rig.is_gone(pod))


async def test_nothing_is_written_that_is_already_so(rig: OperatorRig, runtime: StartRuntime) -> None:
    rig.start_operator()
    await rig.asleep("sleeper")
    pod, state = await rig.ready_pod("tiny", runtime)
    state.activity = BUSY.model_copy(update={"running": 0, "idle_seconds": 100.0})

    async def versions() -> list[str]:
        things = [await rig.model("sleeper"), await rig.model("tiny"), *await rig.pods("tiny")]
        return [thing["metadata"]["resourceVersion"] for thing in things]

    await rig.looked()
    before = await versions()
    for _ in range(3):
        await rig.looked()
    assert await versions() == before
    assert pod["metadata"]["name"]


async def test_whatever_is_made_goes_with_its_model(rig: OperatorRig, runtime: StartRuntime) -> None:
    rig.start_operator()
    pod, _ = await rig.ready_pod("tiny", runtime)
    model = await rig.model("tiny")
    assert "finalizers" not in model["metadata"]
    made = [*(await rig.api.list(JOBS)).items, pod]
    owners = [owner for thing in made for owner in thing["metadata"]["ownerReferences"]]
    assert {(owner["uid"], owner["controller"]) for owner in owners} == {(model["metadata"]["uid"], True)}
    await rig.api.delete(HFMODELS, "tiny", uid=model["metadata"]["uid"])
    await rig.looked()
    assert await rig.api.get(HFMODELS, "tiny") is None
    assert len(await rig.pods("tiny")) == 1  # left to the garbage collector, which this cluster lacks


@pytest.mark.parametrize(
    "end", [pytest.param(signal.SIGTERM, id="lets go"), pytest.param(signal.SIGKILL, id="is killed")]
)
async def test_a_second_operator_stands_by_until_the_lease_is_free(end: signal.Signals, rig: OperatorRig) -> None:
    first = rig.start_operator(POD_NAME="first")

    async def held_by(name: str) -> bool:
        return ((await rig.holder()) or "").startswith(name)

    await rig.until("the first holds the lease", lambda: held_by("first"))
    rig.start_operator(POD_NAME="second")
    await rig.looked()
    assert await held_by("first")
    first.send_signal(end)
    await rig.until("the second holds the lease", lambda: held_by("second"))
    await rig.looked()
