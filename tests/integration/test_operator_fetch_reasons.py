"""What keeps weights from being fetched is told with its true cause. The tests play scheduler and Job controller."""

import pytest

from hfmodel_operator.cluster.api import EVENTS, SECRETS, Json
from support.kubelet import finish_job, make_job_pod, make_unschedulable, start_job
from support.kubelet_scripts import ended, fetching, last_word, waiting
from support.operator_rig import OperatorRig

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

NO_KEY = "couldn't find key HF_TOKEN in Secret models/hub"


FETCH_FAILURES = [
    pytest.param("GatedNoToken", "accept the licence of org/tiny", False, id="gated"),
    pytest.param("GatedNoAccess", "the account has no access to org/tiny", False, id="no access"),
    pytest.param("TokenInvalid", "the token has expired", False, id="expired token"),
    pytest.param("RepoNotFound", "there is no repository org/tiny", False, id="not found"),
    pytest.param("RevisionNotFound", "org/tiny has no revision 'v9'", False, id="no revision"),
    pytest.param("NoUsableWeights", "org/tiny has .onnx files", False, id="no weights"),
    pytest.param("RemoteCodeRequired", "read the code, then set trustRemoteCode", False, id="remote code"),
    pytest.param("NoSpace", "the cache has 1 GiB left, 2 GiB are needed", True, id="out of space"),
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

    async def event() -> bool:
        events = (await rig.api.list(EVENTS)).items
        return any(found["reason"] == reason and says in found["message"] for found in events)

    await rig.until("an Event tells of it", event)


@pytest.mark.parametrize(("reason", "says", "retryable"), FETCH_FAILURES)
async def test_why_a_prefetch_failed(reason: str, says: str, retryable: bool, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.apply("tiny")
    done: set[str] = set()

    async def look() -> Json | None:
        for job in await rig.jobs("tiny"):
            if job["metadata"]["uid"] not in done:
                done.add(job["metadata"]["uid"])
                word = last_word(reason, says, retryable=retryable)
                await finish_job(rig.api, job, message=word, succeeded=False)
        cached = await rig.condition("tiny", "Cached")
        return cached if cached.get("reason") == reason else None

    cached = await rig.until(f"Cached has reason {reason}", look)
    assert cached is not None
    assert (cached["status"], cached["message"]) == ("False", says)


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
