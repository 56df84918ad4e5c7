"""Releases of the chart in a namespace of a real API server, made by Helm's own engine."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client import CustomObjectsApi
from kubernetes.client.exceptions import ApiException

from hfmodel_api.names import API_VERSION, GROUP, KIND, PLURAL, VERSION
from support.helm import Json, Values
from support.helm_worker import Helm, helm_process
from support.live_api import CRD_NAME, server_version

# Written by the cluster for itself at any time.
_NOT_OURS: Final = frozenset({"Event", "Endpoints", "EndpointSlice", "ReplicaSet", "Pod", "ControllerRevision"})
_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_CRDS: Final = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")

Contents = dict[tuple[str, str], Json]


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace, and Helm in it."""

    client: client.ApiClient
    helm: Helm
    namespace: str

    @property
    def version(self) -> str:
        """Of the server, major and minor."""
        return ".".join(map(str, server_version(self.client)))

    def install(self, values: Values | None = None, *, name: str = "hfmodel") -> None:
        # Like `helm install --server-side=false` where the server does not know CEL, which the CRD has.
        self.helm.install(name, values or {}, server_side=server_version(self.client) >= (1, 25))

    def upgrade(self, values: Values | None = None, *, name: str = "hfmodel") -> None:
        self.helm.upgrade(name, values or {})

    def contents(self) -> Contents:
        """Everything in the namespace that is not being deleted, by kind and name."""
        found: Contents = {}
        for group_version, resource in self._listed_resources():
            prefix = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
            for item in self._get(f"{prefix}/namespaces/{self.namespace}/{resource['name']}")["items"]:
                if "deletionTimestamp" not in item["metadata"] and resource["kind"] not in _NOT_OURS:
                    found[resource["kind"], item["metadata"]["name"]] = item
        return found

    def made(self) -> Contents:
        """What the chart made, without what Helm keeps for itself."""
        return {key: item for key, item in self.contents().items() if item.get("type") != "helm.sh/release.v1"}

    def one(self, kind: str, name: str) -> Json:
        return self.contents()[kind, name]

    def add_model(self, name: str) -> None:
        manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {"model": "org/tiny"}}
        self.wait_for_crd()
        self._models.create_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, manifest)

    def wait_for_crd(self) -> None:
        """Return when requests for HFModels reach the CRD that an installation brought."""
        wait("the CRD to be served", self._serves_crd)

    def _serves_crd(self) -> bool:
        try:
            self._models.list_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    @property
    def _models(self) -> CustomObjectsApi:
        return CustomObjectsApi(self.client)

    def _listed_resources(self) -> Iterator[tuple[str, Json]]:
        groups = [group["preferredVersion"]["groupVersion"] for group in self._get("/apis")["groups"]]
        for group_version in ["v1", *groups]:
            path = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
            for resource in self._get(path)["resources"]:
                if resource["namespaced"] and {"list", "create"} <= set(resource["verbs"]):
                    yield group_version, resource

    def _get(self, path: str) -> Json:
        url = f"{self.client.configuration.host}{path}"
        response = self.client.call_api("GET", url, {"Accept": "application/json"})
        found: Json = json.loads(response.read())  # type: ignore[no-untyped-call]
        return found


@contextmanager
def site(kubeconfig: Path) -> Iterator[Site]:
    """A new namespace, and Helm in it; releases that a test leaves are removed with it."""
    with helm_process() as process, site_of(process, kubeconfig) as found:
        yield found


@contextmanager
def site_of(process: ProcessPoolExecutor, kubeconfig: Path) -> Iterator[Site]:
    """As `site`, with a process for Helm that several share."""
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    helm = Helm(process, kubeconfig, namespace)
    loaded: client.ApiClient = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    with loaded as api_client:
        core = client.CoreV1Api(api_client)
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
        try:
            yield Site(api_client, helm, namespace)
        finally:
            for release in helm.names():
                helm.uninstall(release)
            core.delete_namespace(namespace)


@contextmanager
def without_crd(kubeconfig: Path) -> Iterator[None]:
    """The cluster has no CRD of ours when the block begins, and none when it ends.

    Raises:
        AssertionError: it has one that is not from here.
    """
    loaded: client.ApiClient = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    with loaded as api_client:
        assert installed_crd(api_client) is None, f"the cluster has {CRD_NAME} already: name another one in KUBECONFIG"
        try:
            yield
        finally:
            with contextlib.suppress(ApiException):
                CustomObjectsApi(api_client).delete_cluster_custom_object(*_CRDS, CRD_NAME)


def installed_crd(api_client: client.ApiClient) -> Any:
    """The CRD of HFModels as the cluster has it, or None."""
    try:
        return CustomObjectsApi(api_client).get_cluster_custom_object(*_CRDS, CRD_NAME)
    except ApiException as error:
        if error.status != 404:
            raise
        return None


def wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {_SECONDS:g} s in vain for {what}"
        time.sleep(_POLL_SECONDS)
