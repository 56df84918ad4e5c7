"""A control plane of its own with the CRD, a namespace in it, and in front of that the process that is measured."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.operator_scale import audit
from bench.operator_scale.usage import Meter
from bench.ports import free_port
from cluster.controlplane import ControlPlane, control_plane
from hfmodel_api.names import API_VERSION, KIND
from hfmodel_operator.cluster.api import CLAIMS, HFMODELS, LEASES, KubeApi, kube_api
from support.live_api import live_api
from support.operator_account import operator_kubeconfig
from support.operator_rig import CACHE, create_namespace

NAMESPACE = "models"
_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:hfmodel-operator"
_AT_ONCE = 16  # requests of ours on their way at a time
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything there is before the operator.

    Attributes:
        api: as an administrator.
        operator_kubeconfig: of the account that the operator has in a cluster, with its rights alone.
        runtime_port: where every pod is asked what it does.
    """

    plane: ControlPlane
    api: KubeApi
    audit: audit.Audit
    operator_kubeconfig: Path
    runtime_port: int
    folder: Path

    async def apply(self, names: list[str], *, prefetch: bool) -> None:
        """Create an HFModel for each name, as fast as the server takes them."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def create(name: str) -> None:
            spec = {"model": f"org/{name}", "cache": {"prefetch": prefetch}}
            manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
            async with slots:
                await self.api.create(HFMODELS, manifest)

        await asyncio.gather(*map(create, names))


@asynccontextmanager
async def started_rig() -> AsyncIterator[Rig]:
    """It is gone after the block. Its servers die with the thread that starts them, which must be the main one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            control_plane(api_server_flags=audit.flags(folder, user=_ACCOUNT)) as plane,
            live_api(plane.kubeconfig),
        ):
            async with kube_api(NAMESPACE, kubeconfig=str(plane.kubeconfig)) as api:
                await create_namespace(api)
                await _claim(api)
                kubeconfig = folder / "operator-kubeconfig"
                await operator_kubeconfig(api, admin=plane.kubeconfig, path=kubeconfig)
                yield Rig(plane, api, audit.Audit(folder), kubeconfig, free_port(), folder)


async def _claim(api: KubeApi) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CACHE}, "spec": spec}
    await api.create(CLAIMS, manifest)


@asynccontextmanager
async def operator(rig: Rig) -> AsyncIterator[Meter]:
    """`hfmodel-operator run` with its default settings, once it is the active one."""
    environment = {
        "KUBECONFIG": str(rig.operator_kubeconfig),
        "WATCH_NAMESPACE": NAMESPACE,
        "HFMODEL_RUNTIME_IMAGE": "runtime:bench",
        "HFMODEL_CACHE_CLAIM": CACHE,
        "HFMODEL_BASE_URL": "http://router",
        "HFMODEL_RUNTIME_PORT": str(rig.runtime_port),
        "HFMODEL_HEALTH_PORT": "0",
    }
    with process(rig, "operator", ["-m", "hfmodel_operator.main", "run"], environment) as meter:
        await _until_held(rig.api)
        yield meter


async def _until_held(api: KubeApi) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while await api.get(LEASES, "hfmodel-operator") is None:  # noqa: ASYNC110 - it is another process's
            await asyncio.sleep(0.1)


@contextmanager
def process(rig: Rig, name: str, arguments: list[str], environment: Mapping[str, str]) -> Iterator[Meter]:
    """A Python process of ours, ended with the block; what it says is shown if the block fails."""
    log = rig.folder / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment}, stderr=output)
    try:
        yield Meter.of(popen.pid, tuple(server.pid for server in rig.plane.servers))
    except BaseException:
        print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
        raise
    finally:
        popen.terminate()
        popen.wait()
