"""A real API server as the tests ask it: what it makes of an HFModel."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from hfmodel_api.names import GROUP, PLURAL, VERSION
from hfmodel_api.schema import crd

CRD_NAME: Final = f"{PLURAL}.{GROUP}"
# On what this suite installed, so that it never replaces or removes what somebody else did.
TEST_LABEL: Final = f"{GROUP}/installed-by"
_TESTS: Final = "tests"
_CRDS: Final = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05

Json = dict[str, Any]


class Refused(Exception):
    """The server said no, in its own words. `fields` are the paths that it blames, if it blames any."""

    def __init__(self, error: ApiException) -> None:
        answer = json.loads(error.body or "{}")
        causes = (answer.get("details") or {}).get("causes") or ()
        self.fields = {cause["field"] for cause in causes if cause.get("field")}
        super().__init__(f"{error.status}: {answer.get('message')}")


@dataclass(frozen=True, slots=True)
class LiveApi:
    """The API of a cluster that has the CRD, and a namespace of our own in it."""

    client: client.ApiClient
    version: tuple[int, int]
    namespace: str

    @property
    def judges_cel(self) -> bool:
        """Older servers drop x-kubernetes-validations from a CRD."""
        return self.version >= (1, 25)

    @property
    def judges_unknown_fields(self) -> bool:
        """Older servers drop unknown fields whatever fieldValidation asks for."""
        return self.version >= (1, 25)

    def judge(self, manifest: Mapping[str, Any]) -> Json:
        """The object that the server would store; nothing is stored.

        Raises:
            Refused
        """
        return self._create(manifest, dry_run="All")

    def create(self, manifest: Mapping[str, Any]) -> Json:
        """The object as stored; raises Refused."""
        return self._create(manifest)

    def replace(self, manifest: Mapping[str, Any]) -> Json:
        """Write all but the status; raises Refused."""
        return self._objects("replace", manifest["metadata"]["name"], dict(manifest))

    def replace_status(self, manifest: Mapping[str, Any]) -> Json:
        """Write the status alone; raises Refused."""
        return self._objects("replace", manifest["metadata"]["name"], dict(manifest), part="_status")

    def patch_status(self, name: str, status: Json) -> Json:
        """Merge into the status; raises Refused."""
        content = "application/merge-patch+json"
        return self._objects("patch", name, {"status": status}, part="_status", _content_type=content)

    def apply(self, manifest: Mapping[str, Any], *, manager: str) -> Json:
        """Server-side apply, as GitOps tools do it; raises Refused."""
        content = "application/apply-patch+yaml"
        name = manifest["metadata"]["name"]
        return self._objects("patch", name, dict(manifest), field_manager=manager, _content_type=content)

    def delete(self, name: str) -> None:
        """Raises Refused."""
        self._objects("delete", name)

    def table(self) -> Json:
        """All HFModels of the namespace as `kubectl get` asks for them."""
        return self.get(
            f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}",
            accept="application/json;as=Table;v=v1;g=meta.k8s.io",
        )

    def get(self, path: str, *, accept: str = "application/json") -> Json:
        """The JSON at `path`."""
        response = self.client.call_api("GET", f"{self.client.configuration.host}{path}", {"Accept": accept})
        found: Json = json.loads(response.read())  # type: ignore[no-untyped-call]
        return found

    def _create(self, manifest: Mapping[str, Any], **options: str) -> Json:
        return self._objects("create", dict(manifest), field_validation="Strict", **options)

    def _objects(self, verb: str, *arguments: Any, part: str = "", **options: str) -> Json:
        call = getattr(client.CustomObjectsApi(self.client), f"{verb}_namespaced_custom_object{part}")
        try:
            answer: Json = call(GROUP, VERSION, self.namespace, PLURAL, *arguments, **options)
        except ApiException as error:
            raise Refused(error) from error
        return answer


@contextmanager
def live_api(kubeconfig: Path) -> Iterator[LiveApi]:
    """The CRD installed and a new namespace in the cluster, for the length of the block.

    Raises:
        AssertionError: the cluster has the CRD already, and not from here.
    """
    loaded: client.ApiClient = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    with loaded as api_client, _installed_crd(api_client):
        core = client.CoreV1Api(api_client)
        namespace = f"hfmodel-tests-{uuid.uuid4().hex[:8]}"
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
        try:
            yield LiveApi(api_client, server_version(api_client), namespace)
        finally:
            core.delete_namespace(namespace)


@contextmanager
def _installed_crd(api_client: client.ApiClient) -> Iterator[None]:
    definitions = _Definitions(client.CustomObjectsApi(api_client))
    definitions.remove_own()
    definitions.create()
    try:
        _wait("the CRD to be served", definitions.is_served)
        yield
    finally:
        definitions.remove_own()


@dataclass(frozen=True, slots=True)
class _Definitions:
    """The CRD in the cluster, as plain JSON: the client's own types know less than newer servers."""

    objects: client.CustomObjectsApi

    def create(self) -> None:
        definition = {**crd(), "metadata": {**crd()["metadata"], "labels": {TEST_LABEL: _TESTS}}}
        self.objects.create_cluster_custom_object(*_CRDS, definition)

    def remove_own(self) -> None:
        found = self.find()
        if found is None:
            return
        assert found["metadata"].get("labels", {}).get(TEST_LABEL) == _TESTS, (
            f"the cluster has {CRD_NAME} already, which these tests would replace: name another one in KUBECONFIG"
        )
        self.objects.delete_cluster_custom_object(*_CRDS, CRD_NAME)
        _wait("the CRD to go", lambda: self.find() is None)

    def find(self) -> Any:
        with _absent_is_none():
            found: Any = self.objects.get_cluster_custom_object(*_CRDS, CRD_NAME)
            return found
        return None

    def is_served(self) -> bool:
        """Whether the CRD is Established and requests reach it; the second follows the first a moment later."""
        found = self.find() or {}
        conditions = {item["type"]: item["status"] for item in found.get("status", {}).get("conditions") or ()}
        assert "NonStructuralSchema" not in conditions, found["status"]["conditions"]
        if conditions.get("Established") != "True":
            return False
        with _absent_is_none():
            self.objects.list_cluster_custom_object(GROUP, VERSION, PLURAL)
            return True
        return False


@contextmanager
def _absent_is_none() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise


def server_version(api_client: client.ApiClient) -> tuple[int, int]:
    """Major and minor version of the server."""
    code = client.VersionApi(api_client).get_code()
    # Clouds write "31+".
    return int(code.major), int(code.minor.rstrip("+"))


def _wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited {_SECONDS:g} s in vain for {what}"
        time.sleep(_POLL_SECONDS)
