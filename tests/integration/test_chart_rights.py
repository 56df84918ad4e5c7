"""Operator and router under the chart's own accounts: they are refused nothing, and have no right that they never use.

The API server's audit log says what they did.
"""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from kubernetes import client

from cluster.binaries import BinariesMissing
from cluster.controlplane import control_plane
from hfmodel_operator.cluster.api import Json, kube_api
from hfmodel_operator.cluster.objects import uid_of
from support.chart_audit import AuditLog, Right, rights_of
from support.chart_environment import environment
from support.chart_release import Site, site
from support.helm import Rendered, render
from support.kubelet import make_job_pod, now_text, start_job
from support.kubelet_scripts import ended, serving, waiting
from support.live_api import LiveApi, server_version
from support.operator_rig import OperatorRig
from support.router_world import write_kubeconfig

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class World:
    """A release on an API server that keeps an audit log."""

    site: Site
    audit: AuditLog
    rendered: Rendered
    admin: Path
    folder: Path

    def user(self, component: str) -> str:
        name = self.rendered.pod(component)["spec"]["serviceAccountName"]
        return f"system:serviceaccount:{self.site.namespace}:{name}"

    def kubeconfig(self, component: str) -> Path:
        """With the token that the component's pods would get."""
        name = self.user(component).rpartition(":")[2]
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        core = client.CoreV1Api(self.site.client)
        answer = core.create_namespaced_service_account_token(name, self.site.namespace, request)
        path = self.folder / f"{component}.kubeconfig"
        assert answer.status is not None
        token = str(answer.status.token)
        api = LiveApi(self.site.client, server_version(self.site.client), self.site.namespace)
        host = self.site.client.configuration.host
        write_kubeconfig(path, url=host, namespace=self.site.namespace, token=token, api=api)
        return path

    def variables(self, component: str) -> dict[str, str]:
        """What the chart tells the container, in this namespace."""
        found = environment(self.rendered.container(component))
        return {**found, "WATCH_NAMESPACE": self.site.namespace}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    audit = AuditLog(tmp_path)
    values = {"runtime": {"port": free_port()}, "operator": {"leaseSeconds": 2, "heartbeatSeconds": 0.2}}
    try:
        with control_plane(api_server_flags=audit.flags) as plane, site(plane.kubeconfig) as found:
            found.install(values)
            found.wait_for_crd()
            rendered = render(values, kubernetes=found.version, namespace=found.namespace)
            yield World(found, audit, rendered, plane.kubeconfig, tmp_path)
    except BinariesMissing as error:
        pytest.skip(str(error))


@asynccontextmanager
async def operator(world: World) -> AsyncIterator[OperatorRig]:
    async with kube_api(world.site.namespace, kubeconfig=str(world.admin)) as api:
        variables = world.variables("operator")
        port = int(variables["HFMODEL_RUNTIME_PORT"])
        rig = OperatorRig(api, world.kubeconfig("operator"), world.folder, port)
        rig.start_operator(**{**variables, "HFMODEL_HEALTH_PORT": "0"})
        try:
            yield rig
        finally:
            rig.stop_operators()


@asynccontextmanager
async def router(world: World) -> AsyncIterator[str]:
    """Its address."""
    command = (sys.executable, "-m", "hfmodel_router", "--kubernetes", "--port", "0")
    variables = {**os.environ, **world.variables("router"), "KUBECONFIG": str(world.kubeconfig("router"))}
    process = await create_subprocess_exec(*command, env=variables, stderr=PIPE)
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"serving on" in line:
                break
        yield line.decode().split()[-1]
    finally:
        process.send_signal(signal.SIGKILL)
        await process.communicate()


@asynccontextmanager
async def caller(url: str, model: str) -> AsyncIterator[None]:
    """Somebody who asks the model for an answer, and waits."""
    async with aiohttp.ClientSession(url) as http:
        asking = asyncio.create_task(http.post(f"/models/{model}/generate", json={"text": "hi"}))
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_both_use_all_their_rights_and_need_no_others(world: World) -> None:
    async with operator(world) as rig, router(world) as url:
        await rig.asleep("tiny")
        async with caller(url, "tiny"):
            await rig.pod("tiny")
            crashes = serving(waiting("CrashLoopBackOff"), ended(1))
            await rig.told("tiny", "Ready", "CrashLoop", kubelet=crashes)
        await rig.asleep("other")
        before = await rig.jobs("other")
        await rig.change("other", model="org/another")
        await rig.until("other is fetched anew", lambda: fetched_anew(rig, "other", before))
        await rig.apply("gated", tokenSecretRef={"name": "none"})
        await rig.reason("gated", "Accepted", "SecretMissing")
        await rig.apply("large")
        (job,) = await rig.until("large has a fetch Job", lambda: rig.jobs("large"))
        await make_job_pod(rig.api, await start_job(rig.api, job), state={"running": {"startedAt": now_text()}})
        await rig.until("the fetch is followed in its log", lambda: reads_logs(world))
    for component in ("operator", "router"):
        role = world.rendered.one("Role", f"hfmodel-{component}")
        user = world.user(component)
        assert world.audit.forbidden(user) == []
        assert [str(right) for right in sorted(rights_of(role) - world.audit.used(user))] == []


async def fetched_anew(rig: OperatorRig, name: str, before: tuple[Json, ...]) -> bool:
    jobs = await rig.jobs(name)
    return bool(jobs) and not {uid_of(job) for job in jobs} & {uid_of(job) for job in before}


async def reads_logs(world: World) -> bool:
    return Right("", "pods/log", "get") in world.audit.used(world.user("operator"))
