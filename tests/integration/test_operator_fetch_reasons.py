"""What keeps weights from being fetched is told with its true cause. The tests play scheduler and Job controller."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hfmodel_operator.cluster.api import EVENTS, SECRETS, Json, KubeError
from hfmodel_router.kube.connect import kube_fleet
from hfmodel_runtime.fetch.errors import failure_of
from hfmodel_runtime.fetch.request import FetchRequest
from support.kubelet import finish_job, make_job_pod, make_unschedulable, start_job
from support.kubelet_scripts import ended, fetching, last_word, waiting
from support.operator_rig import OperatorRig
from support.running_router import RunningRouter, running_router

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

PREFERRED = {
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    ]
}
NO_KEY = "couldn't find key HF_TOKEN in Secret models/hub"


FETCH_FAILURES = [
    pytest.param("GatedNoToken", "accept the licence of org/tiny", False, id="gated"),
    pytest.param("GatedNoAccess", "the account has no access to org/tiny", False, id="no access"),
    pytest.param("TokenInvalid", "the token has expired", False, id="expired token"),
    pytest.param("RepoNotFound", "there is no repository org/tiny", False, id="not found"),
    pytest.param("RevisionNotFound", "org/tiny has no revision 'v9'", False, id="no revision"),
    pytest.param("NoUsableWeights", "org/tiny has .onnx files", False, id="no weights"),
    pytest.param("RemoteCodeRequired", "read the code, then set trustRemoteCode", False, id="remote code"),
    pytest.param("NoSpace", "the cache has 1 GiB left, 2 GiB are needed", False, id="out of space"),
    pytest.param("HubUnreachable", "nothing came for 60 s", True, id="stalled"),
    pytest.param("ChecksumMismatch", "model.safetensors arrived damaged twice", True, id="damaged"),
]


@pytest.mark.parametrize(("reason", "says", "retryable"), FETCH_FAILURES)
async def test_why_a_pod_does_not_fetch(reason: str, says: str, retryable: bool, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny", cache={"prefetch": False})
    await rig.phase("tiny", "Asleep")
    await rig.want("tiny")
    word = last_word(reason, says, retryable=retryable)
    ready = await rig.told("tiny", "Ready", reason, kubelet=fetching(ended(1, message=f"a log\n{word}")))
    assert says in ready["message"]
    await tells_an_event(rig, reason, says, kind="Normal" if retryable else "Warning")


@pytest.mark.parametrize(("reason", "says", "retryable"), FETCH_FAILURES)
async def test_why_a_prefetch_failed(reason: str, says: str, retryable: bool, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    found = await failed_prefetch(rig, reason, last_word(reason, says, retryable=retryable))
    told = f"{says}; it is tried again" if retryable else says
    assert (found["Cached"]["status"], found["Cached"]["message"]) == ("False", says)
    assert (found["Ready"]["status"], found["Ready"]["message"]) == ("Unknown" if retryable else "False", told)
    # What is tried again is on its way; what is not has come to a halt, and `kubectl wait` and Flux need not wait.
    going, halted = ("Reconciling", "Stalled") if retryable else ("Stalled", "Reconciling")
    assert (found[going]["status"], found[going]["reason"], found[going]["message"]) == ("True", reason, told)
    assert found[halted]["status"] == "False"
    await tells_an_event(rig, reason, says, kind="Normal" if retryable else "Warning")


@pytest.mark.parametrize(("reason", "says", "retryable"), FETCH_FAILURES)
async def test_callers_are_told_why_a_prefetch_failed(
    reason: str, says: str, retryable: bool, rig: OperatorRig
) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    word = last_word(reason, says, retryable=retryable)
    async with router_of(rig) as router:
        row = await failed_row(rig, router, says, reason=reason, word=word)
        assert row["phase"] == ("Fetching" if retryable else "Failed")
        # Whoever asks has it tried once more, by a pod; it meets the same.
        asking = asyncio.create_task(router.http.post("/models/tiny/generate", json={"text": "hello"}))
        await every_fetch_fails(rig, word, until=asking)
        async with await asking as response:
            assert response.status == 503
            body = await response.json()
    assert (body["reason"], says in body["detail"]) == (reason, True)


def test_the_script_says_of_a_full_volume_what_a_fetch_says() -> None:
    request = FetchRequest(cache_dir=Path("/cache"), model="org/tiny")
    full = failure_of(OSError(errno.ENOSPC, "No space left on device"), request).failure
    scripted = {str(each.values[0]): each.values[2] for each in FETCH_FAILURES}
    assert scripted[full.reason] is full.retryable


async def failed_prefetch(rig: OperatorRig, reason: str, word: str) -> dict[str, Json]:
    """The conditions that tell of it. Every fetch ends with `word`, however often it is tried."""

    async def look() -> dict[str, Json]:
        await fail_jobs(rig, word)
        conditions = {found["type"]: found for found in (await rig.status("tiny")).get("conditions") or ()}
        known = {conditions.get(kind, {}).get("reason") for kind in ("Cached", "Ready")}
        return conditions if known == {reason} else {}

    return await rig.until(f"Cached and Ready have reason {reason}", look)


async def every_fetch_fails(rig: OperatorRig, word: str, *, until: "asyncio.Task[Any]") -> None:
    """Of Jobs and of pods, until a request that is held has ended; what is tried again holds it for 15 s at least."""
    kubelet = fetching(ended(1, message=word))
    async with asyncio.timeout(120):
        while not until.done():
            await fail_jobs(rig, word)
            for pod in await rig.pods("tiny"):
                with contextlib.suppress(KubeError):  # deleted meanwhile
                    await kubelet(rig.api, pod)
            await asyncio.sleep(0.05)


async def failed_row(rig: OperatorRig, router: RunningRouter, says: str, *, reason: str, word: str) -> Json:
    """What `hfmodel list` shows of the model once it tells of the failure."""

    async def look() -> Json | None:
        await fail_jobs(rig, word)
        async with router.http.get("/models") as response:
            row = dict((await response.json()).get("tiny") or {})
        return row if says in str(row.get("message")) else None

    found = await rig.until(f"the router's row tells of {reason}", look)
    assert found is not None
    return found


async def fail_jobs(rig: OperatorRig, word: str) -> None:
    """End those that have not ended with `word`."""
    for job in await rig.jobs("tiny"):
        if not (job.get("status") or {}).get("conditions"):
            with contextlib.suppress(KubeError):  # deleted meanwhile
                await finish_job(rig.api, job, message=word, succeeded=False)


async def tells_an_event(rig: OperatorRig, reason: str, says: str, *, kind: str) -> None:
    async def look() -> bool:
        events = (await rig.api.list(EVENTS)).items
        return any((found["reason"], found["type"]) == (reason, kind) and says in found["message"] for found in events)

    await rig.until(f"an Event tells of {reason}", look)


@asynccontextmanager
async def router_of(rig: OperatorRig) -> AsyncIterator[RunningRouter]:
    """A router over the same namespace. The operator's rights hold those that a router has."""
    async with kube_fleet(rig.api.namespace, {"KUBECONFIG": str(rig.kubeconfig)}) as fleet:
        await fleet.synced()
        async with running_router(fleet) as router:
            yield router


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        pytest.param(waiting("ImagePullBackOff", "Back-off"), "ImagePullFailed", "Back-off", id="its image"),
        pytest.param(waiting("ErrImagePull", "not found"), "ImagePullFailed", "not found", id="no image"),
        pytest.param(waiting("CreateContainerConfigError", NO_KEY), "SecretMissing", "key HF_TOKEN", id="no key"),
    ],
)
async def test_why_the_pod_of_a_prefetch_does_not_start(state: Json, reason: str, says: str, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.api.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}})
    await rig.apply("tiny", tokenSecretRef={"name": "hub"})
    started: set[str] = set()

    async def look() -> Json | None:
        for job in await rig.jobs("tiny"):
            if job["metadata"]["uid"] not in started:
                started.add(job["metadata"]["uid"])
                await make_job_pod(rig.api, await start_job(rig.api, job), state=state)
        cached = await rig.condition("tiny", "Cached")
        return cached if cached.get("reason") == reason else None

    cached = await rig.until(f"Cached has reason {reason}", look)
    assert cached is not None
    assert says in cached["message"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param("0/3 nodes are available: 3 Too many pods.", "Unschedulable", id="no node has room"),
        pytest.param('persistentvolumeclaim "hfmodel-cache" not found', "VolumeNotBound", id="no cache"),
    ],
)
async def test_a_prefetch_that_no_node_takes_is_told_until_one_does(
    message: str, reason: str, rig: OperatorRig
) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    pod = await start_job(rig.api, job)
    await make_unschedulable(rig.api, pod, message=message)
    for kind in ("Ready", "Cached"):
        assert (await rig.reason("tiny", kind, reason))["message"] == message
    assert len(await rig.jobs("tiny")) == 1
    await make_job_pod(rig.api, pod, state={"running": {}})
    await rig.reason("tiny", "Cached", "Fetching")


async def test_a_prefetch_that_no_node_takes_is_made_anew_once_the_manifest_says_another_place(
    rig: OperatorRig,
) -> None:
    rig.start_operator()
    await rig.apply("tiny", nodeSelector={"zone": "none"}, affinity={"nodeAffinity": PREFERRED})
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    pod = await start_job(rig.api, job)
    assert (pod["spec"]["nodeSelector"], pod["spec"]["affinity"]) == ({"zone": "none"}, {"nodeAffinity": PREFERRED})
    await make_unschedulable(rig.api, pod, message="0/3 nodes are available")
    await rig.reason("tiny", "Cached", "Unschedulable")
    await rig.change("tiny", description="still the same place")
    await rig.looked()
    assert [found["metadata"]["uid"] for found in await rig.jobs("tiny")] == [job["metadata"]["uid"]]
    await rig.change("tiny", nodeSelector={"zone": "b"})

    async def look() -> bool:
        others = [found for found in await rig.jobs("tiny") if found["metadata"]["uid"] != job["metadata"]["uid"]]
        return [found["spec"]["template"]["spec"]["nodeSelector"] for found in others] == [{"zone": "b"}]

    await rig.until("a Job for the other zone", look)


async def test_a_fetch_has_what_the_installation_tells_all_of_them(rig: OperatorRig) -> None:
    rig.start_operator(
        HFMODEL_HUB_ENDPOINT="https://mirror.example.com",
        HFMODEL_FETCH_ENV='[{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]',
        HFMODEL_FETCH_RESOURCES='{"requests": {"cpu": 1}, "limits": {"memory": "8Gi"}}',
    )
    await rig.apply("tiny")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert (told["HF_ENDPOINT"], told["HTTPS_PROXY"]) == ("https://mirror.example.com", "http://proxy:3128")
    assert container["resources"] == {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}}


async def test_a_prefetch_that_gets_no_pod_says_where_to_look(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    cached = await rig.reason("tiny", "Cached", "Unschedulable")
    assert f"kubectl describe job {job['metadata']['name']}" in cached["message"]


async def test_a_job_that_the_server_refuses_is_told_and_made_once_it_may(rig: OperatorRig) -> None:
    await rig.quota("count/jobs.batch")
    rig.start_operator()
    await rig.apply("tiny")
    cached = await rig.reason("tiny", "Cached", "Unschedulable")
    assert "the cluster refused the Job" in cached["message"]
    assert "exceeded quota: none" in cached["message"]
    await rig.lift_quota()
    await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
