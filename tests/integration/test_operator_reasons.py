"""What keeps a pod from serving is told with its true cause. The tests play scheduler and kubelet."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from hfmodel_operator.cluster.api import Json, Resource
from support.kubelet_scripts import Kubelet, ended, idle, serving, unscheduled, waiting
from support.operator_rig import OperatorRig

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

LIMITS: Final = Resource("", "v1", "limitranges")
LOG = "Traceback\n  File serve.py\nRuntimeError: the third layer is missing"


@pytest.mark.parametrize(
    ("kubelet", "reason", "says"),
    [
        pytest.param(
            serving(waiting("CrashLoopBackOff"), ended(1, message=LOG)),
            "CrashLoop",
            "exit code 1: Traceback | File serve.py | RuntimeError: the third layer is missing",
            id="a crash loop, with the end of the log",
        ),
        pytest.param(serving(ended(137, reason="OOMKilled")), "OutOfMemory", "resources.limits.memory", id="killed"),
        pytest.param(
            serving(waiting("CrashLoopBackOff"), ended(137, reason="OOMKilled")),
            "OutOfMemory",
            "resources.limits.memory",
            id="killed again and again",
        ),
        pytest.param(
            serving(waiting("ImagePullBackOff", "Back-off pulling image runtime:test")),
            "ImagePullFailed",
            "Back-off pulling image",
            id="its image is pulled in vain",
        ),
        pytest.param(
            serving(waiting("ErrImagePull", "manifest unknown")), "ImagePullFailed", "manifest unknown", id="no image"
        ),
        pytest.param(
            serving(waiting("CreateContainerConfigError", 'secret "keys" not found')),
            "SecretMissing",
            '"keys" not found',
            id="a secret of its environment is missing",
        ),
        pytest.param(
            unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "Unschedulable",
            "3 Insufficient nvidia.com/gpu",
            id="no node has room",
        ),
        pytest.param(
            unscheduled("pod has unbound immediate PersistentVolumeClaims"),
            "VolumeNotBound",
            "unbound immediate",
            id="the cache is not bound",
        ),
    ],
)
async def test_why_a_pod_does_not_serve(kubelet: Kubelet, reason: str, says: str, rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.wake("tiny")
    assert says in (await rig.told("tiny", "Ready", reason, kubelet=kubelet))["message"]


async def test_a_pod_that_is_not_ready_in_time_is_told(rig: OperatorRig) -> None:
    rig.start_operator()
    await rig.wake("tiny", scaling={"startTimeout": "1s"})
    assert "within 1s" in (await rig.told("tiny", "Ready", "StartTimeout", kubelet=idle))["message"]


async def limit_memory(rig: OperatorRig) -> None:
    limits = {"limits": [{"type": "Container", "max": {"memory": "1Mi"}, "default": {"memory": "1Mi"}}]}
    await rig.api.create(LIMITS, {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "x"}, "spec": limits})


LARGE = {"resources": {"limits": {"memory": "2Gi"}}}


@pytest.mark.parametrize(
    ("spec", "limit", "reason", "says"),
    [
        pytest.param({}, lambda rig: rig.quota("pods"), "Unschedulable", "exceeded quota: none", id="a quota"),
        pytest.param(LARGE, limit_memory, "Unschedulable", "maximum memory usage per Container is 1Mi", id="a limit"),
        pytest.param(
            {"priorityClassName": "none-such"},
            None,
            "Unschedulable",
            "no PriorityClass with name none-such",
            id="class",
        ),
        pytest.param(
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            None,
            "InvalidSpec",
            "must be less than or equal to memory limit",
            id="a field that only the server can judge",
        ),
    ],
)
async def test_a_pod_that_the_server_refuses_is_told_in_its_words(
    spec: Json, limit: Callable[[OperatorRig], Awaitable[None]] | None, reason: str, says: str, rig: OperatorRig
) -> None:
    rig.start_operator()
    await rig.asleep("tiny", **spec)
    if limit is not None:
        await limit(rig)
    await rig.want("tiny")
    ready = await rig.told("tiny", "Ready", reason, kubelet=idle)
    assert "the cluster refused the pod" in ready["message"]
    assert says in ready["message"]
    assert await rig.pods("tiny") == ()


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        pytest.param({}, {"HFMODEL_CACHE_CLAIM": "volume"}, id="of the cache"),
        pytest.param({"source": {"pvc": {"claimName": "volume", "path": "tiny"}}}, {}, id="of the source"),
    ],
)
async def test_a_missing_claim_is_a_condition_until_it_is_there(
    spec: Json, environment: dict[str, str], rig: OperatorRig
) -> None:
    rig.start_operator(**environment)
    await rig.apply("tiny", **spec)
    accepted = await rig.reason("tiny", "Accepted", "VolumeNotBound")
    assert "'volume'" in accepted["message"]
    assert await rig.jobs("tiny") == ()
    await rig.claim("volume")
    await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
