"""The parts of a cluster that a bare API server lacks: a kubelet, the runtime in its container, the Job controller."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hfmodel_api.wire import PATH_ACTIVITY, PATH_RETIRE, Activity
from hfmodel_operator.cluster.api import JOBS, PODS, Json, KubeApi

IDLE = Activity(running=0, queued=0, requests_total=0, idle_seconds=3600)
BUSY = Activity(running=1, queued=0, requests_total=1, idle_seconds=0)


@dataclass(slots=True)
class RuntimeState:
    """What a fake runtime answers; `activity` None: it does not."""

    address: str
    activity: Activity | None = IDLE
    asked_to_retire: list[float] = field(default_factory=list)
    before_retiring: Callable[[], None] | None = None  # runs once; then the caller gets no answer
    after_retiring: Callable[[], None] | None = None


@contextmanager
def fake_runtime(address: str, port: int) -> Iterator[RuntimeState]:
    """A runtime at its pod's address. It agrees to retire unless it is busy."""
    state = RuntimeState(address)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ok = self.path == PATH_ACTIVITY and state.activity is not None
            self._answer(200 if ok else 503, state.activity.model_dump() if ok and state.activity else {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != PATH_RETIRE or state.activity is None or state.activity.busy:
                self._answer(409, {})
                return
            if self._sprung("before_retiring"):
                return
            state.asked_to_retire.append(body["idle_for_seconds"])
            state.activity = state.activity.model_copy(update={"retired": True})
            if not self._sprung("after_retiring"):
                self._answer(200, {"retired": True})

        def _sprung(self, trap: str) -> bool:
            spring = getattr(state, trap)
            setattr(state, trap, None)
            if spring is not None:
                spring()
            return spring is not None

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def make_ready(api: KubeApi, pod: Json, *, address: str) -> None:
    """The container runs, and its probes succeed."""
    status = {"started": True, "ready": True, "restartCount": 0, "state": {"running": {"startedAt": now_text()}}}
    await put_status(
        api,
        pod,
        {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now_text()}],
            "containerStatuses": [_container("serve", status)],
        },
    )


async def make_fail(api: KubeApi, pod: Json, *, state: Json, last: Json | None = None) -> None:
    """The container that serves is in `state`, and was in `last` before, as the kubelet reports it."""
    status = {"ready": False, "restartCount": 1, "state": state, "lastState": last or {}}
    await put_status(api, pod, {"phase": "Pending", "containerStatuses": [_container("serve", status)]})


async def make_fetch(api: KubeApi, pod: Json, *, state: Json) -> None:
    """The init container is in `state`."""
    status = {"ready": False, "restartCount": 0, "state": state}
    await put_status(api, pod, {"phase": "Pending", "initContainerStatuses": [_container("fetch", status)]})


async def make_unschedulable(api: KubeApi, pod: Json, *, message: str) -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    await put_status(api, pod, {"phase": "Pending", "conditions": [scheduled]})


async def start_job(api: KubeApi, job: Json) -> Json:
    """The Job controller makes the pod of a Job; no node has it yet."""
    template = job["spec"]["template"]
    metadata = {"name": f"{job['metadata']['name']}-x", "labels": template["metadata"]["labels"]}
    return await api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


async def make_job_pod(api: KubeApi, pod: Json, *, state: Json) -> None:
    """A node took the pod of a Job; its container is in `state`."""
    containers = [_container("fetch", {"ready": False, "restartCount": 0, "state": state})]
    scheduled = {"type": "PodScheduled", "status": "True"}
    await put_status(api, pod, {"phase": "Pending", "conditions": [scheduled], "containerStatuses": containers})


async def finish_job(api: KubeApi, job: Json, *, message: str, succeeded: bool) -> None:
    """The Job's pod ran and ended with `message`; then the Job controller saw it."""
    pod = await start_job(api, job)
    ended = {"exitCode": 0 if succeeded else 1, "message": message, "finishedAt": now_text(), "startedAt": now_text()}
    status = {"ready": False, "restartCount": 0, "state": {"terminated": ended}}
    phase = "Succeeded" if succeeded else "Failed"
    await put_status(api, pod, {"phase": phase, "containerStatuses": [_container("fetch", status)]})
    condition = {"type": "Complete" if succeeded else "Failed", "status": "True", "lastTransitionTime": now_text()}
    await api.patch(JOBS, job["metadata"]["name"], {"status": {"conditions": [condition]}}, part="status")


def _container(name: str, status: Json) -> Json:
    return {"name": name, "image": "runtime:test", "imageID": "", **status}


async def bind(api: KubeApi, pod: Json, *, node: str) -> None:
    """The scheduler gives the pod to a node, which need not be there."""
    name, path = pod["metadata"]["name"], f"/api/v1/namespaces/{api.namespace}/pods"
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    await api.call("POST", f"{path}/{name}/binding", body=binding)


async def put_status(api: KubeApi, pod: Json, status: Json) -> None:
    """Merge `status` into that of the pod."""
    await api.patch(PODS, pod["metadata"]["name"], {"status": status}, part="status")
