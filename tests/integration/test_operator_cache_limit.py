"""Whoever fetches in a cluster is told how large the cache may become and what must stay in it."""

import json
import socket

import aiohttp
import pytest

from hfmodel_operator.cluster.api import CONFIGMAPS, Json
from hfmodel_operator.cluster.labels import KEEP_MAP
from support.kubelet import finish_job
from support.operator_rig import FETCHED, OperatorRig

pytest_plugins = ["support.operator_fixtures"]
pytestmark = pytest.mark.slow

PATH = json.loads(FETCHED)["path"]


async def told(rig: OperatorRig) -> dict[str, str]:
    found = await rig.api.get(CONFIGMAPS, KEEP_MAP)
    assert found is not None
    data: dict[str, str] = found["data"]
    return data


def names_of(container: Json) -> set[str]:
    """Of the variables that come from that ConfigMap."""
    references = (each["valueFrom"].get("configMapKeyRef", {}) for each in container["env"] if "valueFrom" in each)
    return {reference["key"] for reference in references if reference.get("name") == KEEP_MAP}


async def test_jobs_and_pods_that_fetch_learn_what_must_stay(rig: OperatorRig) -> None:
    rig.start_operator(HFMODEL_CACHE_LIMIT="40Gi")
    await rig.asleep("first")
    await rig.apply("second", model="org/other")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("second"))
    data = await told(rig)
    assert names_of(job["spec"]["template"]["spec"]["containers"][0]) == set(data)
    assert data["HFMODEL_CACHE_KEEP"].split() == [PATH, "org/other"]
    assert data["HFMODEL_CACHE_LIMIT"] == str(40 * 2**30)
    assert data["HFMODEL_CACHE_KEEPER"] == f"{rig.api.namespace}/hfmodel-operator"

    await rig.apply("third", model="org/third", cache={"prefetch": False}, scaling={"minReplicas": 1})
    (pod,) = await rig.pod("third")
    later = await told(rig)
    assert names_of(pod["spec"]["initContainers"][0]) == set(data)
    assert later["HFMODEL_CACHE_KEEP"].split() == [PATH, "org/other", "org/third"]
    assert float(later["HFMODEL_CACHE_KEEP_AS_OF"]) > float(data["HFMODEL_CACHE_KEEP_AS_OF"])


async def test_no_pod_is_replaced_because_another_model_came(rig: OperatorRig) -> None:
    rig.start_operator(HFMODEL_CACHE_LIMIT="40Gi")
    pinned = await rig.wake("pinned", cache={"prefetch": False}, scaling={"minReplicas": 1})
    await rig.apply("new", model="org/new")
    await rig.until("a fetch Job", lambda: rig.jobs("new"))
    await rig.looked()
    assert [pod["metadata"]["uid"] for pod in await rig.pods("pinned")] == [pinned["metadata"]["uid"]]


async def test_what_fetches_did_is_counted(rig: OperatorRig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rig.start_operator(HFMODEL_HEALTH_PORT=str(port))
    await rig.apply("tiny")
    (job,) = await rig.until("a fetch Job", lambda: rig.jobs("tiny"))
    done = {**json.loads(FETCHED), "seconds": 2.5, "downloaded_bytes": 7, "collected_bytes": 11}
    await finish_job(rig.api, job, message=json.dumps(done), succeeded=True)
    await rig.phase("tiny", "Asleep")
    await rig.want("tiny")
    await rig.pod("tiny")
    await rig.looked()
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert {
        'hfmodel_operator_fetches_total{result="Done"} 1.0',
        "hfmodel_operator_fetched_bytes_total 7.0",
        "hfmodel_operator_cache_collected_bytes_total 11.0",
        "hfmodel_operator_wakes_total 1.0",
        'hfmodel_operator_models{phase="Starting"} 1.0',
    } <= set(lines)
