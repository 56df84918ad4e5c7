"""The Kubernetes API as the operator uses it: JSON objects of one namespace, every call bounded in time."""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.config import ConfigException

from hfmodel_api.errors import HFModelError
from hfmodel_api.names import GROUP, PLURAL, VERSION

Json = dict[str, Any]

USER_AGENT: Final = "hfmodel-operator"
_TIMEOUT_SECONDS: Final = 10.0
_MERGE_PATCH: Final = "application/merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Resource(NamedTuple):
    """A kind of object, as its URLs name it."""

    group: str  # empty: the core
    version: str
    plural: str

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


HFMODELS: Final = Resource(GROUP, VERSION, PLURAL)
PODS: Final = Resource("", "v1", "pods")
JOBS: Final = Resource("batch", "v1", "jobs")
SECRETS: Final = Resource("", "v1", "secrets")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims")
EVENTS: Final = Resource("", "v1", "events")
CONFIGMAPS: Final = Resource("", "v1", "configmaps")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")


class KubeError(HFModelError):
    """The API server refused a call, or did not answer (`status` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status or 'no answer'}: {message}")
        self.status = status
        self.message = message


class NotActive(KubeError):
    """This process may not write any more; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(0, "the Lease was lost, so nothing was sent")


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind, and the version of the whole."""

    items: tuple[Json, ...]
    version: str


class KubeApi:
    """Calls to one namespace. Every method raises KubeError unless it says otherwise.

    `may_write` is asked before every call that changes something: NotActive if it says no.
    """

    def __init__(self, api: client.ApiClient, namespace: str, *, may_write: Callable[[], bool] = lambda: True) -> None:
        self._api = api
        self.namespace = namespace
        self.may_write = may_write

    def while_held(self, may_write: Callable[[], bool]) -> "KubeApi":
        """The same for a process that acts only while it is the active one, however long it was stopped in between."""
        return KubeApi(self._api, self.namespace, may_write=may_write)

    async def list(self, resource: Resource, *, labels: Mapping[str, str] | None = None) -> Listing:
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in (labels or {}).items())}
        answer = await self.call("GET", self._path(resource), query=query if labels else None)
        return Listing(tuple(answer.get("items") or ()), answer["metadata"].get("resourceVersion") or "0")

    async def get(self, resource: Resource, name: str, *, metadata_only: bool = False) -> Json | None:
        """The object; None if there is none. `metadata_only`: what it holds never comes here."""
        accept = _METADATA_ONLY if metadata_only else "application/json"
        try:
            return await self.call("GET", self._path(resource, name), accept=accept)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, resource: Resource, manifest: Json) -> Json:
        return await self.call("POST", self._path(resource), body=manifest)

    async def replace(self, resource: Resource, name: str, manifest: Json) -> Json:
        return await self.call("PUT", self._path(resource, name), body=manifest)

    async def patch(self, resource: Resource, name: str, body: Json, *, part: str = "") -> Json:
        """Merge `body` into the object or its subresource `part`."""
        return await self.call("PATCH", self._path(resource, name, part), body=body, content_type=_MERGE_PATCH)

    async def delete(self, resource: Resource, name: str, *, uid: str) -> Json:
        """Delete exactly the object with `uid`, and what it owns in the background."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self.call("DELETE", self._path(resource, name), body=body)

    async def last_lines(self, pod: str, container: str, *, lines: int) -> str:
        """The end of a container's log."""
        query = {"container": container, "tailLines": str(lines)}
        return (await self._send("GET", self._path(PODS, pod, "log"), query=query)).decode("utf-8", errors="replace")

    def _path(self, resource: Resource, name: str = "", part: str = "") -> str:
        path = f"{resource.prefix}/namespaces/{self.namespace}/{resource.plural}"
        return "/".join(filter(None, (path, name, part)))

    async def call(self, method: str, path: str, **options: Any) -> Json:
        """The answer to a call of any path, as JSON."""
        answer: Json = json.loads(await self._send(method, path, **options))
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        if method != "GET" and not self.may_write():
            raise NotActive
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": self._api.user_agent}
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            response = await self._api.call_api(method, url, headers, body, _request_timeout=_TIMEOUT_SECONDS)
            data: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(0, f"{method} {path}: {error!r}") from error
        if not 200 <= response.status < 300:
            raise KubeError(response.status, _message(data))
        return data


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:500].decode("utf-8", errors="replace")


def in_cluster() -> bool:
    """Whether the credentials are those of a pod; a $KUBECONFIG wins."""
    return "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ


def _proxy_for(url: str) -> str | None:
    """As the environment says: HTTPS_PROXY, NO_PROXY and what else there is of them."""
    server = urlsplit(url)
    return None if proxy_bypass(server.hostname or "") else getproxies().get(server.scheme)


@asynccontextmanager
async def kube_api(namespace: str, *, kubeconfig: str | None = None) -> AsyncIterator[KubeApi]:
    """A client with the credentials of `kubeconfig` (else of its usual places), or in a pod of its service account.

    Raises:
        KubeError: there are none.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is None and in_cluster():
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise KubeError(0, f"no credentials for a cluster: {error}") from error
    # Left to the session, proxies and ~/.netrc are looked up for every call, in a thread.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
    async with client.ApiClient(configuration) as api:
        api.user_agent = USER_AGENT
        yield KubeApi(api, namespace)
