"""The parts of a cluster that a bare API server lacks: a kubelet, the runtime in its container, the Job controller."""

import json
import threading
from collections.abc import Iterator
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
            state.asked_to_retire.append(body["idle_for_seconds"])
            state.activity = state.activity.model_copy(update={"retired": True})
            self._answer(200, {"retired": True})

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
    await _write(
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


async def make_fail(api: KubeApi, pod: Json, *, state: Json) -> None:
    """The container that serves is in `state`, as the kubelet reports it."""
    status = {"ready": False, "restartCount": 1, "state": state}
    await _write(api, pod, {"phase": "Pending", "containerStatuses": [_container("serve", status)]})


async def make_fetch(api: KubeApi, pod: Json, *, state: Json) -> None:
    """The init container is in `state`."""
    status = {"ready": False, "restartCount": 0, "state": state}
    await _write(api, pod, {"phase": "Pending", "initContainerStatuses": [_container("fetch", status)]})


async def make_unschedulable(api: KubeApi, pod: Json, *, message: str) -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    await _write(api, pod, {"phase": "Pending", "conditions": [scheduled]})


async def finish_job(api: KubeApi, job: Json, *, message: str, succeeded: bool) -> None:
    """The Job's pod ran and ended with `message`; then the Job controller saw it."""
    template = job["spec"]["template"]
    metadata = {"name": f"{job['metadata']['name']}-x", "labels": template["metadata"]["labels"]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    pod = await api.create(PODS, manifest)
    ended = {"exitCode": 0 if succeeded else 1, "message": message, "finishedAt": now_text(), "startedAt": now_text()}
    status = {"ready": False, "restartCount": 0, "state": {"terminated": ended}}
    phase = "Succeeded" if succeeded else "Failed"
    await _write(api, pod, {"phase": phase, "containerStatuses": [_container("fetch", status)]})
    condition = {"type": "Complete" if succeeded else "Failed", "status": "True", "lastTransitionTime": now_text()}
    await api.patch(JOBS, job["metadata"]["name"], {"status": {"conditions": [condition]}}, part="status")


def _container(name: str, status: Json) -> Json:
    return {"name": name, "image": "runtime:test", "imageID": "", **status}


async def _write(api: KubeApi, pod: Json, status: Json) -> None:
    await api.patch(PODS, pod["metadata"]["name"], {"status": status}, part="status")
