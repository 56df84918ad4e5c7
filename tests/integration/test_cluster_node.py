"""Pods on the rig's own node: they run, speak, are reached, keep files and go, as on any cluster."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from kubernetes import client, config

from cluster.binaries import BinariesMissing, find
from cluster.containerd import PAUSE_IMAGE
from cluster.images import write_image
from cluster.node import NodeCluster, node_cluster
from cluster.nodeservers import NODE_NAME
from cluster.packages import MachineUnfit, static_busybox
from support.kubectl import Json, Kubectl

pytestmark = pytest.mark.slow

USER: Final = 65532
PORT: Final = 8080
SECONDS: Final = 90.0
SERVES: Final = """
echo hello > /data/index.html
echo started
trap 'exit 0' TERM
busybox httpd -f -p 8080 -h /data & wait
"""
CLAIM: Final = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
SERVICE: Final = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": PORT}]},
}


def restricted_pod(name: str, script: str, *, image: str = PAUSE_IMAGE, **container: Any) -> Json:
    """A pod that the "restricted" policy admits; busybox runs `script`."""
    hardened = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    main = {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["/bin/busybox", "sh", "-c", script],
        "securityContext": hardened,
        **container,
    }
    user = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [main],
        },
    }


def server_pod() -> Json:
    """It writes a page to its claim and serves it."""
    pod = restricted_pod(
        "server",
        SERVES,
        readinessProbe={"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    return pod


def wait_for(what: str, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s in vain for {what}"
        time.sleep(0.1)


def found(kubectl: Kubectl, kind: str, name: str) -> Json:
    there = kubectl.get(kind, name)
    assert there is not None
    return there


def output(kubectl: Kubectl, pod: Json) -> str:
    """Run a pod to its end; returns what it printed."""
    name = pod["metadata"]["name"]
    kubectl.apply(pod)
    wait_for(f"{name} to end", lambda: found(kubectl, "pod", name)["status"]["phase"] in ("Succeeded", "Failed"))
    return kubectl("logs", name)


def page(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as response:
        return str(response.read().decode())


def answers(address: str) -> bool:
    try:
        page(address, 80)
    except OSError:
        return False
    return True


@contextmanager
def greeting_server(address: str) -> Iterator[int]:
    """Says "welcome" to the first who comes to the port."""

    def greet() -> None:
        wire, _peer = listener.accept()
        with wire:
            wire.sendall(b"welcome\n")

    with socket.create_server((address, 0)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(SECONDS)
        greeted = pool.submit(greet)
        yield listener.getsockname()[1]
        greeted.result()


@pytest.fixture(scope="module")
def node() -> Iterator[NodeCluster]:
    try:
        with node_cluster() as cluster:
            yield cluster
            cluster.check()
    except (BinariesMissing, MachineUnfit) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def kubectl(node: NodeCluster) -> Kubectl:
    return Kubectl(find("kubectl"), node.kubeconfig, "default")


@pytest.fixture(scope="module")
def web(kubectl: Kubectl) -> Kubectl:
    """A namespace with a pod that is ready, its claim and its service, which answers."""
    kubectl("create", "namespace", "web")
    in_web = replace(kubectl, namespace="web")
    wait_for("the service account", lambda: (in_web.get("serviceaccount", "default") or {}).get("secrets"))
    in_web.apply(CLAIM, SERVICE, server_pod())
    in_web("wait", "--for=condition=Ready", "pod/server", "--timeout=50s")
    wait_for("the service", lambda: answers(found(in_web, "service", "web")["spec"]["clusterIP"]))
    return in_web


def test_a_claim_is_bound_and_written_by_a_user_that_is_not_root(node: NodeCluster, web: Kubectl) -> None:
    claim = found(web, "pvc", "data")
    assert claim["status"]["phase"] == "Bound"
    written = node.folder / "disks" / claim["spec"]["volumeName"] / "index.html"
    assert written.read_text() == "hello\n"
    assert written.stat().st_uid == USER


def test_logs_of_a_pod_are_read(web: Kubectl) -> None:
    assert web("logs", "server") == "started\n"


def test_a_command_runs_in_a_pod(web: Kubectl) -> None:
    assert web("exec", "server", "--", "/bin/busybox", "id", "-u") == f"{USER}\n"


def test_a_port_of_a_pod_is_forwarded(web: Kubectl) -> None:
    command = [str(web.binary), f"--kubeconfig={web.kubeconfig}", "--namespace=web"]
    command += ["port-forward", "pod/server", f":{PORT}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        said = forward.stdout.readline()
        try:
            assert page("127.0.0.1", int(said.removeprefix("Forwarding from 127.0.0.1:").split()[0])) == "hello\n"
        finally:
            forward.terminate()


def test_the_kubelet_tells_what_a_pod_uses(web: Kubectl) -> None:
    metrics = web("get", "--raw", f"/api/v1/nodes/{NODE_NAME}/proxy/metrics/resource")
    assert 'container_memory_working_set_bytes{container="server",namespace="web"' in metrics


def test_this_machine_reaches_pods_and_services(web: Kubectl) -> None:
    assert page(found(web, "pod", "server")["status"]["podIP"], PORT) == "hello\n"
    assert page(found(web, "service", "web")["spec"]["clusterIP"], 80) == "hello\n"


@pytest.mark.parametrize("name", ["web", "web.web", "web.web.svc.cluster.local"])
def test_pods_reach_services_by_name(web: Kubectl, name: str) -> None:
    said = output(web, restricted_pod(f"asks-{name.count('.')}", f"busybox wget -q -O- http://{name}/"))
    assert said == "hello\n"


def test_a_pod_reaches_itself_through_its_service(web: Kubectl) -> None:
    assert web("exec", "server", "--", "/bin/busybox", "wget", "-q", "-O-", "http://web/") == "hello\n"


def test_pods_reach_this_machine_and_nothing_beyond(node: NodeCluster, kubectl: Kubectl) -> None:
    with greeting_server(str(node.ranges.host)) as port:
        here = f"busybox nc {node.ranges.host} {port} < /dev/null"
        beyond = "busybox nc 192.0.2.1 80 < /dev/null; busybox wget -q -O- http://huggingface.co"
        said = output(kubectl, restricted_pod("leaves", f"{{ {here}; {beyond}; }} 2>&1"))
    assert said.splitlines()[0] == "welcome"
    assert "Network is unreachable" in said
    assert "bad address 'huggingface.co'" in said


def test_an_image_from_an_archive_runs_under_the_name_that_was_given(
    node: NodeCluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    busybox = static_busybox()
    assert busybox is not None
    archive = tmp_path / "tool.tar"
    write_image(archive, name="acme/tool:1", files={"bin/busybox": busybox}, entrypoint=["/bin/busybox"])
    assert node.load_image(archive) == ("docker.io/acme/tool:1",)
    assert output(kubectl, restricted_pod("tool", "echo it runs", image="acme/tool:1")) == "it runs\n"


def test_pods_are_scheduled_by_a_resource_that_the_node_only_claims_to_have(kubectl: Kubectl) -> None:
    capacity = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}]
    loaded: client.ApiClient = config.new_client_from_config(str(kubectl.kubeconfig))  # type: ignore[no-untyped-call]
    with loaded as api_client:
        client.CoreV1Api(api_client).patch_node_status(NODE_NAME, capacity)
    wait_for("the resource", lambda: "nvidia.com/gpu" in found(kubectl, "node", NODE_NAME)["status"]["allocatable"])
    wanting = restricted_pod("gpu", "echo got it", resources={"limits": {"nvidia.com/gpu": "1"}})
    assert output(kubectl, wanting) == "got it\n"


def test_what_an_object_owned_goes_with_it(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "owner")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
    reference = {**owner, "uid": found(kubectl, "configmap", "owner")["metadata"]["uid"]}
    metadata = {"name": "owned", "ownerReferences": [reference]}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    kubectl("delete", "configmap", "owner")
    wait_for("the collection", lambda: kubectl.get("configmap", "owned") is None)


def test_a_namespace_goes_with_its_pods_and_claims(web: Kubectl) -> None:
    web("delete", "pod", "--all", timeout=120)
    assert web.list("pods") == []
    web("delete", "namespace", "web", timeout=240)
    assert web.get("namespace", "web") is None
