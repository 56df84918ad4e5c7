"""The fleet over a namespace in memory: catalogue, news, demand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmodel_api.errors import ModelNotFound
from hfmodel_router.fleet import ModelState
from hfmodel_router.kube.errors import Absent, ClusterUnavailable, Rejected, Unavailable
from hfmodel_router.kube.fleet import KubeFleet
from hfmodel_router.kube.objects import read_model, read_pod
from hfmodel_router.kube.view import View
from support.polling import until
from support.router_cluster import FakeCluster
from support.router_objects import model_json, pod_json
from support.running_router import running_router


class Ready:
    """Answers probes: the URLs in it are ready."""

    def __init__(self) -> None:
        self.urls: set[str] = set()

    async def __call__(self, url: str) -> bool:
        return url in self.urls


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
async def fleet(cluster: FakeCluster, ready: Ready) -> AsyncIterator[KubeFleet]:
    async with KubeFleet(cluster, ask=ready) as made:
        await made.synced()
        yield made


def state(fleet: KubeFleet) -> ModelState:
    return fleet.catalogue()["smol"]


async def test_models_stand_in_order_of_creation(cluster: FakeCluster, fleet: KubeFleet) -> None:
    cluster.models.put(model_json("b", created="2026-01-01T00:00:02Z"))
    cluster.models.put(model_json("c", created="2026-01-01T00:00:01Z"))
    cluster.models.put(model_json("a", created="2026-01-01T00:00:02Z"))
    await until(lambda: list(fleet.catalogue()) == ["c", "a", "b"])


async def test_it_is_synced_only_once_both_lists_are_in(cluster: FakeCluster, ready: Ready) -> None:
    cluster.pods.list_errors = [Unavailable("away")]
    async with KubeFleet(cluster, ask=ready) as fleet:
        synced = asyncio.create_task(fleet.synced())
        await until(lambda: cluster.models.lists == cluster.pods.lists == 1)
        assert not synced.done()
        await synced
        assert cluster.pods.lists == 2


async def test_subscribers_hear_of_changes_and_of_nothing_else(cluster: FakeCluster, fleet: KubeFleet) -> None:
    heard: list[str] = []
    end = fleet.subscribe(heard.append)
    cluster.pods.put(pod_json(ready=False))
    cluster.models.put(model_json())
    await until(lambda: heard == ["smol"])
    before = fleet.catalogue()
    cluster.models.put(model_json(status={"demand": {"wantedAt": "2026-01-01T00:00:00Z"}}))
    cluster.pods.put(pod_json("stranger", model="other"))
    cluster.pods.put(pod_json())
    await until(lambda: heard == ["smol", "smol"])
    assert state(fleet).loaded
    assert not before["smol"].loaded
    end()
    cluster.models.remove("smol")
    await until(lambda: not fleet.catalogue())
    assert heard == ["smol", "smol"]


async def test_a_wanted_pod_serves_before_the_kubelet_says_so_and_after(
    cluster: FakeCluster, fleet: KubeFleet, ready: Ready
) -> None:
    heard: list[bool] = []
    cluster.models.put(model_json())
    cluster.pods.put(pod_json(ready=False))
    await until(lambda: "smol" in fleet.catalogue())
    fleet.subscribe(lambda _: heard.append(state(fleet).loaded))
    ready.urls.add("http://10.0.0.7:9000")
    await fleet.want("smol")
    await until(lambda: state(fleet).loaded)
    cluster.pods.put(pod_json())
    cluster.models.put(model_json(status={"startSeconds": 1.0}))
    await until(lambda: state(fleet).start_seconds == 1.0)
    assert all(heard)
    cluster.pods.put(pod_json(ready=False))
    await until(lambda: False in heard)


async def test_a_release_of_a_model_that_is_gone_is_not_found(cluster: FakeCluster, fleet: KubeFleet) -> None:
    cluster.write_errors = [Absent("404")]
    with pytest.raises(ModelNotFound):
        await fleet.release("smol")


async def test_a_release_that_the_cluster_refuses_says_so(cluster: FakeCluster, fleet: KubeFleet) -> None:
    cluster.write_errors = [Rejected("the API server answered 403: forbidden")]
    with pytest.raises(ClusterUnavailable, match="forbidden") as caught:
        await fleet.release("smol")
    assert caught.value.status == 503


GATED = {"model": "acme/smol", "gated": True}


@pytest.mark.parametrize(
    ("spec", "hub_token", "shown"),
    [
        pytest.param(GATED, False, None, id="no token"),
        pytest.param(GATED, True, "***", id="the installation's"),
        pytest.param({**GATED, "tokenSecretRef": {"name": "own"}}, False, "***", id="the model's own"),
    ],
)
async def test_whether_there_is_a_token_is_told(
    cluster: FakeCluster, ready: Ready, spec: dict[str, Any], hub_token: bool, shown: str | None
) -> None:
    cluster.models.put(model_json(spec=spec))
    async with KubeFleet(cluster, ask=ready, hub_token=hub_token) as fleet:
        await fleet.synced()
        async with running_router(fleet) as router, router.http.get("/auth/status") as response:
            body = await response.json()
    assert body == {
        "has_token": shown is not None,
        "token_preview": shown,
        "gated_models_count": 1,
        "gated_models": ["smol"],
    }


async def test_a_resync_lists_both(cluster: FakeCluster, fleet: KubeFleet) -> None:
    await fleet.resync()
    assert (cluster.models.lists, cluster.pods.lists) == (2, 2)


NAMES = st.sampled_from(["smol", "other"])
CHANGES = st.lists(
    st.one_of(
        st.builds(
            lambda name, phase, bad: ("model", model_json(name, spec=bad, status={"phase": phase})),
            NAMES,
            st.sampled_from(["Asleep", "Failed", "Ready"]),
            st.sampled_from([None, {}]),
        ),
        st.builds(lambda name: ("no model", name), NAMES),
        st.builds(
            lambda name, model, ready, going: ("pod", pod_json(name, model=model, ready=ready, going=going)),
            st.sampled_from("ab"),
            NAMES,
            st.booleans(),
            st.booleans(),
        ),
        st.builds(lambda name: ("no pod", name), st.sampled_from("ab")),
    ),
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(CHANGES)
def test_changes_one_by_one_end_where_a_list_begins(changes: list[Any]) -> None:
    asyncio.run(_compare(changes))


async def _compare(changes: list[Any]) -> None:
    gradual, models, pods = View(Ready()), {}, {}
    heard: dict[str, ModelState | None] = {}
    gradual.subscribe(lambda model_id: heard.update({model_id: gradual.catalogue().get(model_id)}))
    for kind, what in changes:
        match kind:
            case "model":
                models[what["metadata"]["name"]] = record = read_model(what)
                assert record is not None
                gradual.models.put(record)
            case "no model":
                models.pop(what, None)
                gradual.models.remove(what)
            case "pod":
                pods[what["metadata"]["name"]] = pod = read_pod(what)
                assert pod is not None
                gradual.pods.put(pod)
            case "no pod":
                pods.pop(what, None)
                gradual.pods.remove(what)
    listed = View(Ready())
    listed.pods.replace([pod for pod in pods.values() if pod])
    listed.models.replace([record for record in models.values() if record])
    assert gradual.catalogue() == listed.catalogue()
    assert {model_id: found for model_id, found in heard.items() if found} == gradual.catalogue()
