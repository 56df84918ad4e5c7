"""The router's Kubernetes adapter on a real API server, with the rights of its own service account and no others."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config import new_client_from_config

from cluster.binaries import BinariesMissing
from cluster.target import target_cluster
from hfmodel_api.names import LABEL_MODEL
from hfmodel_api.status import Phase, Reason
from hfmodel_router.fleet import Endpoint, Fleet, ModelState
from hfmodel_router.kube.api import KubeApi, Namespace
from hfmodel_router.kube.connect import kube_fleet
from hfmodel_router.kube.errors import Absent, Rejected
from hfmodel_router.kube.fleet import KubeFleet
from support.live_api import LiveApi, live_api
from support.polling import until
from support.router_world import KubeWorld, at_another_address, kube_world
from support.running_router import running_router
from support.scripted_runtime import Received, ScriptedRuntime, respond, scripted_runtime
from support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.slow

ANSWER = {"generated_text": ["hello world"]}


@pytest.fixture(scope="module")
def api() -> Iterator[LiveApi]:
    try:
        with target_cluster() as kubeconfig, live_api(kubeconfig) as found:
            yield found
    except BinariesMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def world(api: LiveApi, tmp_path: Path) -> Iterator[KubeWorld]:
    with kube_world(api, tmp_path) as found:
        yield found


@pytest.fixture
async def proxy(world: KubeWorld) -> AsyncIterator[TcpProxy]:
    """Lies between a router that uses `behind` and the API server."""
    server = urlsplit(world.api_client.configuration.host)
    assert server.hostname is not None
    assert server.port is not None
    async with tcp_proxy(server.hostname, server.port) as found:
        yield found


def behind(proxy: TcpProxy, world: KubeWorld) -> Path:
    host, port = proxy.address
    return at_another_address(world.kubeconfig, f"https://{host}:{port}")


@asynccontextmanager
async def fleet_of(kubeconfig: Path) -> AsyncIterator[KubeFleet]:
    async with kube_fleet(None, {"KUBECONFIG": str(kubeconfig)}) as fleet:
        await fleet.synced()
        yield fleet


@pytest.fixture
async def fleet(world: KubeWorld) -> AsyncIterator[KubeFleet]:
    async with fleet_of(world.kubeconfig) as found:
        yield found


def state(fleet: Fleet, model_id: str = "smol") -> ModelState:
    return fleet.catalogue()[model_id]


def runtime(*, ready: bool = True) -> AbstractAsyncContextManager[ScriptedRuntime]:
    """A runtime that answers every call; `/readyz` as told, until a test changes its `script`."""
    return scripted_runtime(answering(ready=ready))


def answering(*, ready: bool) -> Any:
    async def script(request: Received) -> None:
        if request.path == "/readyz":
            await respond({}, 200 if ready else 503)(request)
        else:
            await respond(ANSWER)(request)

    return script


async def test_the_catalogue_follows_the_cluster(world: KubeWorld) -> None:
    world.add_model("smol", description="small")
    async with fleet_of(world.kubeconfig) as fleet:
        assert state(fleet).model.spec.description == "small"
        assert state(fleet).phase is Phase.PENDING
        world.add_model("gated-one", gated=True, tokenSecretRef={"name": "hf"})
        await until(lambda: "gated-one" in fleet.catalogue())
        assert state(fleet, "gated-one").has_token
        world.change_model("smol", description="smaller")
        await until(lambda: state(fleet).model.spec.description == "smaller")
        world.report("smol", phase="Asleep", startSeconds=1.5)
        await until(lambda: state(fleet).phase is Phase.ASLEEP)
        assert state(fleet).start_seconds == 1.5
        world.remove_model("smol")
        await until(lambda: "smol" not in fleet.catalogue())


async def test_a_token_of_the_installation_is_known_though_no_secret_may_be_read(world: KubeWorld) -> None:
    world.add_model("gated-one", gated=True)
    async with (
        kube_fleet(None, {"KUBECONFIG": str(world.kubeconfig), "HFMODEL_HUB_TOKEN": "present"}) as fleet,
        running_router(fleet) as router,
    ):
        await fleet.synced()
        async with router.http.get("/auth/status") as response:
            assert (await response.json())["has_token"] is True


async def test_endpoints_follow_what_the_kubelet_says(world: KubeWorld, fleet: KubeFleet) -> None:
    world.add_model("smol")
    url = "http://127.0.0.1:18080"
    world.add_pod("smol-1", model="smol", url=url)
    world.add_pod("stranger", model="", url=url, labels={"app": "other"})
    world.add_pod("download", model="", url=url, labels={LABEL_MODEL: "smol", "job-name": "download"})
    await until(lambda: "smol" in fleet.catalogue())
    world.set_pod("stranger", ready=True)
    world.set_pod("download", ready=True)
    world.set_pod("smol-1", ready=False)
    world.set_pod("smol-1", ready=True)
    await until(lambda: state(fleet).loaded)
    assert state(fleet).endpoints == (Endpoint("smol-1", url),)
    assert state(fleet).phase is Phase.READY
    world.set_pod("smol-1", ready=False)
    await until(lambda: not state(fleet).loaded)
    world.set_pod("smol-1", ready=True)
    await until(lambda: state(fleet).loaded)
    world.delete_pod("smol-1")
    await until(lambda: not state(fleet).loaded)


async def test_a_starting_pod_serves_before_the_kubelet_has_looked(world: KubeWorld, fleet: KubeFleet) -> None:
    world.add_model("smol")
    async with runtime(ready=False) as pod:
        world.add_pod("smol-1", model="smol", url=pod.url)
        world.set_pod("smol-1", ready=False)
        await until(lambda: "smol" in fleet.catalogue())
        await fleet.want("smol")
        await until(lambda: len(pod.received) >= 2)
        assert not state(fleet).loaded
        pod.script = answering(ready=True)
        await until(lambda: state(fleet).loaded)
        assert state(fleet).endpoints == (Endpoint("smol-1", pod.url),)


async def test_want_and_release_write_their_own_field_and_the_later_wins(world: KubeWorld, fleet: KubeFleet) -> None:
    world.add_model("smol")
    world.report("smol", phase="Asleep", replicas=0, lastActiveTime="2026-01-01T00:00:00Z")
    await fleet.release("smol")
    await fleet.want("smol")
    status = world.status("smol")
    demand = {field: datetime.fromisoformat(text) for field, text in status["demand"].items()}
    assert demand["wantedAt"] > demand["releasedAt"]
    assert status["demand"]["wantedAt"].endswith("Z")
    assert (status["phase"], status["lastActiveTime"]) == ("Asleep", "2026-01-01T00:00:00Z")
    await fleet.release("smol")
    released = datetime.fromisoformat(world.status("smol")["demand"]["releasedAt"])
    assert released > demand["wantedAt"]


async def test_a_model_that_is_gone_cannot_be_wanted(fleet: KubeFleet) -> None:
    with pytest.raises(Absent):
        await fleet.want("nobody")


async def test_requests_for_a_sleeping_model_are_held_and_wake_it_once(world: KubeWorld, fleet: KubeFleet) -> None:
    world.add_model("smol")
    world.report("smol", phase="Asleep")
    await until(lambda: "smol" in fleet.catalogue())
    async with runtime() as pod, running_router(fleet, want_interval=60.0) as router:
        before = world.versions("smol")
        asking = [
            asyncio.create_task(router.http.post("/models/smol/generate", json={"text": "hello"})) for _ in range(10)
        ]
        await until(lambda: "demand" in world.status("smol"))
        after = world.versions("smol")
        assert after != before
        world.add_pod("smol-1", model="smol", url=pod.url)
        world.set_pod("smol-1", ready=False)
        for each in asyncio.as_completed(asking):
            async with await each as response:
                assert await response.json() == ANSWER
        assert world.versions("smol") == after


@pytest.mark.parametrize(
    "reason",
    [
        Reason.GATED_NO_TOKEN,
        Reason.GATED_NO_ACCESS,
        Reason.TOKEN_INVALID,
        Reason.REPO_NOT_FOUND,
        Reason.REVISION_NOT_FOUND,
        Reason.NO_USABLE_WEIGHTS,
        Reason.REMOTE_CODE_REQUIRED,
        Reason.NO_SPACE,
        Reason.HUB_UNREACHABLE,
        Reason.CHECKSUM_MISMATCH,
    ],
)
async def test_a_held_request_ends_with_the_reason_of_the_cluster(
    reason: Reason, world: KubeWorld, fleet: KubeFleet
) -> None:
    world.add_model("smol")
    await until(lambda: "smol" in fleet.catalogue())
    async with running_router(fleet, problem_grace=0.1) as router:
        asking = asyncio.create_task(router.http.post("/models/smol/generate", json={"text": "hello"}))
        await until(lambda: "demand" in world.status("smol"))
        why = {"type": "Ready", "status": "False", "reason": reason, "message": "no such repository"}
        world.report("smol", phase="Failed", conditions=[why])
        async with await asking as response:
            assert response.status == 503
            body = await response.json()
    assert body["reason"] == reason
    assert "no such repository" in body["detail"]


async def test_an_outage_of_the_api_server_is_survived(world: KubeWorld, proxy: TcpProxy) -> None:
    world.add_model("smol")
    async with runtime() as pod, fleet_of(behind(proxy, world)) as fleet, running_router(fleet) as router:
        world.add_pod("smol-1", model="smol", url=pod.url)
        world.set_pod("smol-1", ready=True)
        await until(lambda: state(fleet).loaded)
        proxy.cut()
        world.report("smol", startSeconds=7.5)
        world.add_model("meanwhile")
        async with router.http.post("/models/smol/generate", json={"text": "hello"}) as response:
            assert await response.json() == ANSWER
        wanting = asyncio.create_task(fleet.want("smol"))
        tried = proxy.accepted
        await until(lambda: proxy.accepted > tried + 2)
        assert not wanting.done()
        proxy.restore()
        await wanting
        assert "wantedAt" in world.status("smol")["demand"]
        await until(lambda: "meanwhile" in fleet.catalogue() and state(fleet).start_seconds == 7.5)


async def test_a_resync_looks_at_the_cluster_now(world: KubeWorld, fleet: KubeFleet) -> None:
    world.add_model("smol")
    await fleet.resync()
    assert "smol" in fleet.catalogue()
    world.remove_model("smol")
    await until(lambda: "smol" not in fleet.catalogue())


@pytest.mark.parametrize(
    "path", ["/api/v1/namespaces/{}/secrets", "/api/v1/namespaces/{}/configmaps", "/api/v1/pods"], ids=str
)
async def test_the_rights_reach_no_further(world: KubeWorld, path: str) -> None:
    async with await client_of(world) as client:
        with pytest.raises(Rejected, match="403"):
            await KubeApi(client).get(path.format(world.namespace), {})


async def test_the_rights_do_not_reach_the_spec(world: KubeWorld) -> None:
    world.add_model("smol")
    async with await client_of(world) as client:
        path = f"/apis/hfmodel.dev/v1alpha1/namespaces/{world.namespace}/hfmodels/smol"
        with pytest.raises(Rejected, match="403"):
            await KubeApi(client).merge_patch(path, {"spec": {"description": "mine"}})


async def client_of(world: KubeWorld) -> ApiClient:
    client: ApiClient = await new_client_from_config(str(world.kubeconfig))  # type: ignore[no-untyped-call]
    return client


async def test_lists_come_in_pages(world: KubeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfmodel_router.kube.api._PAGE", 2)
    for number in range(5):
        world.add_model(f"model-{number}")
    async with await client_of(world) as client:
        page = await Namespace(KubeApi(client), world.namespace).models.list()
    assert [record.model_id for record in page.items] == [f"model-{number}" for number in range(5)]


@asynccontextmanager
async def router_process(kubeconfig: Path) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "hfmodel_router", "--kubernetes", "--port", "0")
    environment = {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": ":".join(sys.path)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_command_serves_the_namespace_of_its_kubeconfig(world: KubeWorld) -> None:
    world.add_model("smol")
    async with router_process(world.kubeconfig) as process:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"serving on" in line:
                break
        async with aiohttp.ClientSession(line.decode().split()[-1]) as http, http.get("/models") as response:
            assert list(await response.json()) == ["smol"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_the_command_takes_no_request_before_it_knows_the_models(world: KubeWorld, proxy: TcpProxy) -> None:
    proxy.cut()
    async with router_process(behind(proxy, world)) as process:
        assert process.stderr is not None
        await until(lambda: proxy.accepted > 2)
        assert b"serving on" not in await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
