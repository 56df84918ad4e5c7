"""A namespace of a real API server in which tests play operator and kubelet; the router is a service account."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes import client

from hfmodel_api.names import API_VERSION, GROUP, KIND, LABEL_MODEL, PLURAL, VERSION
from support.live_api import LiveApi

ROUTER = "hfmodel-router"
# Exactly what docs/router.md lists.
RULES = (
    client.V1PolicyRule(api_groups=[GROUP], resources=[PLURAL], verbs=["list", "watch"]),
    client.V1PolicyRule(api_groups=[GROUP], resources=[f"{PLURAL}/status"], verbs=["patch"]),
    client.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["list", "watch"]),
)


@dataclass(frozen=True, slots=True)
class KubeWorld:
    """`kubeconfig` is the router's own."""

    api_client: client.ApiClient
    namespace: str
    kubeconfig: Path

    def add_model(self, name: str, **spec: Any) -> None:
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}}
        manifest["spec"] = {"model": f"acme/{name}", **spec}
        self._models.create_namespaced_custom_object(*self._where, manifest)

    def change_model(self, name: str, **spec: Any) -> None:
        self._models.patch_namespaced_custom_object(*self._where, name, {"spec": spec}, _content_type=_MERGE)

    def remove_model(self, name: str) -> None:
        self._models.delete_namespaced_custom_object(*self._where, name)

    def report(self, name: str, **status: Any) -> None:
        """Write these fields of the status, as the operator."""
        body = {"status": status}
        self._models.patch_namespaced_custom_object_status(*self._where, name, body, _content_type=_MERGE)

    def status(self, name: str) -> dict[str, Any]:
        found: Any = self._models.get_namespaced_custom_object(*self._where, name)
        status: dict[str, Any] = found.get("status", {})
        return status

    def versions(self, name: str) -> str:
        """Another text after each write to the model."""
        found: Any = self._models.get_namespaced_custom_object(*self._where, name)
        return str(found["metadata"]["resourceVersion"])

    def add_pod(self, name: str, *, model: str, url: str, labels: Mapping[str, str] | None = None) -> None:
        """A pod that listens where `url` says; it has no status yet."""
        port = client.V1ContainerPort(name="http", container_port=urlsplit(url).port)
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(name=name, labels={LABEL_MODEL: model} if labels is None else dict(labels)),
            spec=client.V1PodSpec(
                containers=[client.V1Container(name="serve", image="runtime", ports=[port])], node_name="node-1"
            ),
        )
        self._core.create_namespaced_pod(self.namespace, pod)

    def set_pod(self, name: str, *, ready: bool, started: str = "first") -> None:
        """The containers run; the kubelet finds them ready, or not."""
        now = datetime.now(UTC).isoformat()
        status = {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": now}],
            "containerStatuses": [
                {
                    "name": "serve",
                    "image": "runtime",
                    "imageID": "",
                    "containerID": f"test://{started}",
                    "ready": ready,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }
            ],
        }
        self._core.patch_namespaced_pod_status(name, self.namespace, {"status": status})

    def delete_pod(self, name: str, *, grace: int = 30) -> None:
        """With grace it stays, marked as going: no kubelet is here to end it."""
        self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=grace)

    @property
    def _where(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    @property
    def _models(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api_client)

    @property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api_client)


_MERGE = "application/merge-patch+json"


@contextlib.contextmanager
def kube_world(api: LiveApi, folder: Path) -> Iterator[KubeWorld]:
    """A new namespace, with the router's service account and a kubeconfig of it in `folder`."""
    core = client.CoreV1Api(api.client)
    namespace = f"hfmodel-router-{uuid.uuid4().hex[:8]}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    try:
        kubeconfig = folder / "kubeconfig"
        token = _service_account(api.client, namespace)
        write_kubeconfig(kubeconfig, url=api.client.configuration.host, namespace=namespace, token=token, api=api)
        yield KubeWorld(api.client, namespace, kubeconfig)
    finally:
        core.delete_namespace(namespace)


def write_kubeconfig(path: Path, *, url: str, namespace: str, token: str, api: LiveApi) -> None:
    cluster = {"server": url, "certificate-authority": api.client.configuration.ssl_ca_cert}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    }
    path.write_text(yaml.safe_dump(config))


def at_another_address(kubeconfig: Path, url: str) -> Path:
    """The same kubeconfig for a server at `url`."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = url
    other = kubeconfig.with_name("kubeconfig-elsewhere")
    other.write_text(yaml.safe_dump(config))
    return other


def _service_account(api_client: client.ApiClient, namespace: str) -> str:
    """Make the router's account with its rights; returns a token of it."""
    core, rbac = client.CoreV1Api(api_client), client.RbacAuthorizationV1Api(api_client)
    metadata = client.V1ObjectMeta(name=ROUTER)
    core.create_namespaced_service_account(namespace, client.V1ServiceAccount(metadata=metadata))
    rbac.create_namespaced_role(namespace, client.V1Role(metadata=metadata, rules=list(RULES)))
    binding = client.V1RoleBinding(
        metadata=metadata,
        role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name=ROUTER),
        subjects=[client.RbacV1Subject(kind="ServiceAccount", name=ROUTER, namespace=namespace)],
    )
    rbac.create_namespaced_role_binding(namespace, binding)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    answer = core.create_namespaced_service_account_token(ROUTER, namespace, request)
    assert answer.status is not None
    return str(answer.status.token)
