"""A namespace with the operator at work, and what a test asks of it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from hfmodel_api.names import API_VERSION, KIND, LABEL_MODEL
from hfmodel_operator.cluster.api import CLAIMS, HFMODELS, JOBS, LEASES, PODS, Json, KubeApi, KubeError, Resource
from hfmodel_operator.cluster.labels import LABEL_FETCH
from support.kubelet import RuntimeState, bind, finish_job, make_ready
from support.kubelet_scripts import Kubelet

_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
CACHE: Final = "hfmodel-cache"
_QUOTA: Final = "none"
QUOTAS: Final = Resource("", "v1", "resourcequotas")
FETCHED: Final = '{"event": "done", "path": "/cache/models/org--tiny/abc", "revision": "abc", "bytes": 7}'

Found = TypeVar("Found")
StartRuntime = Callable[[], RuntimeState]


@dataclass(slots=True)
class OperatorRig:
    """Talks to the API server as users, routers and kubelets do."""

    api: KubeApi
    kubeconfig: Path
    folder: Path
    runtime_port: int
    operators: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _markers: int = 0

    def start_operator(self, **environment: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"operator-{len(self.operators)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "hfmodel_operator.main", "run"],
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "WATCH_NAMESPACE": self.api.namespace,
                "HFMODEL_RUNTIME_IMAGE": "runtime:test",
                "HFMODEL_CACHE_CLAIM": CACHE,
                "HFMODEL_BASE_URL": "http://router",
                "HFMODEL_RUNTIME_PORT": str(self.runtime_port),
                "HFMODEL_LEASE_SECONDS": "2",
                "HFMODEL_HEALTH_PORT": "0",
                "HFMODEL_HEARTBEAT_SECONDS": "0.2",
                **environment,
            },
            stderr=log,
        )
        log.close()
        self.operators.append(process)
        return process

    def stop_operators(self) -> None:
        for process in self.operators:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.operators:
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log")))

    async def said(self, number: int, words: str) -> None:
        """Return when the operator that was started as number `number`, from 0, has said `words` in its log."""
        log = self.folder / f"operator-{number}.log"

        async def look() -> bool:
            return words in await asyncio.to_thread(log.read_text, errors="replace")

        await self.until(f"operator {number} says {words!r}", look)

    async def claim(self, name: str) -> None:
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        await self.api.create(CLAIMS, manifest)

    async def quota(self, resource: str) -> None:
        """Nothing more of `resource` in this namespace. The status is what the quota controller would write."""
        hard = {"hard": {resource: "0"}}
        manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": _QUOTA}, "spec": hard}
        await self.api.create(QUOTAS, manifest)
        await self.api.patch(QUOTAS, _QUOTA, {"status": {**hard, "used": {resource: "0"}}}, part="status")

    async def lift_quota(self) -> None:
        quota = await self.api.get(QUOTAS, _QUOTA)
        assert quota is not None
        await self.api.delete(QUOTAS, _QUOTA, uid=quota["metadata"]["uid"])

    async def apply(self, name: str, **spec: Any) -> Json:
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}}
        return await self.api.create(HFMODELS, {**manifest, "spec": {"model": "org/tiny", **spec}})

    async def change(self, name: str, **spec: Any) -> None:
        await self.api.patch(HFMODELS, name, {"spec": spec})

    async def want(self, name: str) -> Json:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return await self.api.patch(HFMODELS, name, {"status": {"demand": {"wantedAt": at}}}, part="status")

    async def release(self, name: str) -> None:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        await self.api.patch(HFMODELS, name, {"status": {"demand": {"releasedAt": at}}}, part="status")

    async def model(self, name: str) -> Json:
        found = await self.api.get(HFMODELS, name)
        assert found is not None
        return found

    async def status(self, name: str) -> Json:
        return (await self.model(name)).get("status") or {}

    async def condition(self, name: str, kind: str) -> Json:
        conditions = (await self.status(name)).get("conditions") or ()
        return next((dict(found) for found in conditions if found["type"] == kind), {})

    async def pods(self, name: str) -> tuple[Json, ...]:
        return (await self.api.list(PODS, labels={LABEL_MODEL: name})).items

    async def jobs(self, name: str) -> tuple[Json, ...]:
        return (await self.api.list(JOBS, labels={LABEL_FETCH: name})).items

    async def until(self, what: str, look: Callable[[], Awaitable[Found]]) -> Found:
        """What `look` finds, as soon as that is true; fails after a while, with the operator's log."""
        deadline = time.monotonic() + _SECONDS
        while not (found := await look()):
            assert time.monotonic() < deadline, f"waited in vain: {what}\n{self.logs()}"
            await asyncio.sleep(_POLL_SECONDS)
        return found

    async def phase(self, name: str, phase: str) -> None:
        async def look() -> bool:
            return (await self.status(name)).get("phase") == phase

        await self.until(f"{name} is {phase}", look)

    async def reason(self, name: str, kind: str, reason: str) -> Json:
        async def look() -> Json | None:
            found = await self.condition(name, kind)
            return found if found.get("reason") == reason else None

        found = await self.until(f"{kind} of {name} has reason {reason}", look)
        assert found is not None
        return found

    async def told(self, name: str, kind: str, reason: str, *, kubelet: Kubelet) -> Json:
        """The condition, once it has the reason; every pod meets the same `kubelet`, however often one is made."""

        async def look() -> Json | None:
            for pod in await self.pods(name):
                with contextlib.suppress(KubeError):  # deleted meanwhile
                    await kubelet(self.api, pod)
            found = await self.condition(name, kind)
            return found if found.get("reason") == reason else None

        found = await self.until(f"{kind} of {name} has reason {reason}", look)
        assert found is not None
        return found

    async def pod(self, name: str, *, count: int = 1) -> tuple[Json, ...]:
        async def look() -> tuple[Json, ...]:
            pods = await self.pods(name)
            return pods if len(pods) == count else ()

        return await self.until(f"{name} has {count} pod(s)", look)

    async def looked(self) -> None:
        """Return when the operator has looked at everything once more, whatever it then did about it."""
        self._markers += 1
        name = f"marker-{self._markers}"
        await self.apply(name, source={"path": "/nowhere"})
        await self.reason(name, "Accepted", "SourceNotSupported")

    async def asleep(self, name: str, **spec: Any) -> None:
        """A model in the cache, which nobody wants."""
        await self.apply(name, **spec)
        (job,) = await self.until(f"{name} has a fetch Job", lambda: self.jobs(name))
        await finish_job(self.api, job, message=FETCHED, succeeded=True)
        await self.phase(name, "Asleep")

    async def wake(self, name: str, **spec: Any) -> Json:
        """The pod of a model that is wanted (or pinned), and in the cache unless it is pinned."""
        if spec.get("scaling", {}).get("minReplicas"):
            await self.apply(name, **spec)
        else:
            await self.asleep(name, **spec)
            await self.want(name)
        (pod,) = await self.pod(name)
        return pod

    async def ready_pod(
        self, name: str, runtime: StartRuntime, *, node: str = "", **spec: Any
    ) -> tuple[Json, RuntimeState]:
        """The pod of a woken model, and what answers there."""
        pod = await self.wake(name, **spec)
        if node:
            await bind(self.api, pod, node=node)
        state = runtime()
        await make_ready(self.api, pod, address=state.address)
        await self.phase(name, "Ready")
        return pod, state

    def is_gone(self, pod: Json) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return await self.api.get(PODS, pod["metadata"]["name"]) is None

        return look

    async def holder(self) -> str | None:
        lease = await self.api.get(LEASES, "hfmodel-operator")
        return lease["spec"].get("holderIdentity") if lease else None


async def create_namespace(api: KubeApi) -> None:
    """Its objects live as long as the cluster: nothing here would finish its deletion."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace}}
    await api.call("POST", "/api/v1/namespaces", body=manifest)


@asynccontextmanager
async def operator_rig(api: KubeApi, *, kubeconfig: Path, folder: Path, port: int) -> AsyncIterator[OperatorRig]:
    """The namespace of `api` with a volume for the cache; operators that the test starts end with the block."""
    rig = OperatorRig(api, kubeconfig, folder, port)
    await rig.claim(CACHE)
    try:
        yield rig
    finally:
        await asyncio.to_thread(rig.stop_operators)
