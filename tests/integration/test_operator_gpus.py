"""GPU profiles, as the API server stores what they ask for."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from support.kubelet_scripts import idle
from support.operator_rig import OperatorRig

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

RUNTIME_CLASSES: Final = "/apis/node.k8s.io/v1/runtimeclasses"


@pytest.fixture
async def runtime_class(rig: OperatorRig) -> AsyncIterator[str]:
    """An object of the whole cluster."""
    name = f"nvidia-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "x"}
    await rig.api.call("POST", RUNTIME_CLASSES, body=manifest)
    yield name
    await rig.api.call("DELETE", f"{RUNTIME_CLASSES}/{name}")


def profiles(rig: OperatorRig, **profile: Any) -> str:
    path = rig.folder / "profiles.yaml"
    path.write_text(json.dumps({"a100": profile}))
    return str(path)


async def test_what_a_gpu_profile_says_is_what_the_server_stores(rig: OperatorRig, runtime_class: str) -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    path = profiles(
        rig,
        resourceName="nvidia.com/mig-1g.5gb",
        nodeSelector={"gpu": "a100"},
        tolerations=[toleration],
        runtimeClassName=runtime_class,
        image="runtime:a100",
    )
    rig.start_operator(HFMODEL_PROFILES=path, HFMODEL_RUNTIME_GPU_IMAGE="runtime:gpu")
    pod = await rig.wake("tiny", gpu={"profile": "a100", "count": 2}, nodeSelector={"zone": "b"})
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    gpus = {"nvidia.com/mig-1g.5gb": "2"}
    assert container["resources"] == {"limits": gpus, "requests": gpus}
    assert container["image"] == "runtime:a100"
    assert spec["nodeSelector"] == {"gpu": "a100", "zone": "b"}
    assert toleration in spec["tolerations"]
    assert spec["runtimeClassName"] == runtime_class
    (job,) = await rig.jobs("tiny")
    fetch = job["spec"]["template"]["spec"]
    assert (fetch["nodeSelector"], toleration in fetch["tolerations"]) == ({"zone": "b"}, True)
    assert "runtimeClassName" not in fetch


async def test_any_gpu_is_asked_for_where_no_profile_is_named(rig: OperatorRig) -> None:
    rig.start_operator(HFMODEL_RUNTIME_GPU_IMAGE="runtime:gpu")
    pod = await rig.wake("tiny", gpu={})
    (container,) = pod["spec"]["containers"]
    assert (container["image"], container["resources"]["limits"]) == ("runtime:gpu", {"nvidia.com/gpu": "1"})
    (job,) = await rig.jobs("tiny")
    (fetch,) = job["spec"]["template"]["spec"]["containers"]
    assert fetch["image"] == "runtime:test"
    assert fetch["resources"] == {"requests": {"cpu": "100m", "memory": "512Mi"}}


async def test_a_runtime_class_that_is_not_there_is_told(rig: OperatorRig) -> None:
    rig.start_operator(HFMODEL_PROFILES=profiles(rig, runtimeClassName="none-such"))
    await rig.asleep("tiny", gpu={"profile": "a100"})
    await rig.want("tiny")
    ready = await rig.told("tiny", "Ready", "Unschedulable", kubelet=idle)
    assert 'RuntimeClass "none-such" not found' in ready["message"]
