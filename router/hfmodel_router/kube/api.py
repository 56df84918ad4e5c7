"""The calls to the API server, as JSON: lists in pages, watches as lines, merge patches.

Goes below the generated API classes on purpose: typed pods would cost most of a router's memory and time, for fields
that are thrown away at once.
"""

import contextlib
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException

from hfmodel_api.names import GROUP, LABEL_MODEL, PLURAL, VERSION
from hfmodel_router.kube.errors import Expired, Unavailable, api_error
from hfmodel_router.kube.listwatch import Event, Page
from hfmodel_router.kube.objects import Json, ModelRecord, Pod, read_model, read_pod

T = TypeVar("T")

_PAGE = 500  # objects
_CONNECT = 5.0  # seconds
_LIST = aiohttp.ClientTimeout(total=30.0, sock_connect=_CONNECT)
_PATCH = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)
# A watch over a connection that died without a word shows nothing new: it is begun anew this often, which costs little.
_WATCH_SECONDS = (30, 60)
_WATCH_GRACE = 10.0  # for the server to end it first
# A Job that downloads a model may carry the model's label, and its pod counts as ready while it runs.
_SERVING_PODS = f"{LABEL_MODEL},!job-name"
_MERGE_PATCH = "application/merge-patch+json"


class KubeApi:
    """One API server. Every call raises ApiError."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        async with self._answer("GET", path, query=query, timeout=_LIST) as response:
            document: Json = _document(await response.read())
            return document

    async def merge_patch(self, path: str, body: Json) -> None:
        headers = {"Content-Type": _MERGE_PATCH}
        async with self._answer("PATCH", path, headers=headers, body=body, timeout=_PATCH):
            return

    async def lines(self, path: str, query: Mapping[str, str], *, seconds: int) -> AsyncGenerator[Json, None]:
        """The documents of a stream that the server ends after so many seconds."""
        timeout = aiohttp.ClientTimeout(total=seconds + _WATCH_GRACE, sock_connect=_CONNECT)
        query = {**query, "timeoutSeconds": str(seconds)}
        async with self._answer("GET", path, query=query, timeout=timeout) as response:
            try:
                while line := await response.content.readline():
                    yield _document(line)
            finally:
                _hang_up(response)

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            response = await self._send(
                method, path, query=dict(query or {}), headers=dict(headers or {}), body=body, timeout=timeout
            )
            async with response:
                if response.status >= 400:
                    raise api_error(response.status, _message(await response.read()))
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ConfigException) as error:
            # ValueError: a line that is no JSON, or longer than any object can be. ConfigException: the token's file.
            raise Unavailable(f"no usable answer from the API server: {error!r}") from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str],
        headers: dict[str, str],
        body: Json | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        verb, url, sent, content, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", **headers},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer: RESTResponse = await self._client.call_api(verb, url, sent, content, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """Implements `listwatch.Source`. `read` gives None for an object that is none of ours."""

    api: KubeApi
    path: str
    read: Callable[[Json], T | None]
    selector: str = ""

    async def list(self) -> Page[T]:
        items: list[T] = []
        query = {**self._query(), "limit": str(_PAGE)}
        while True:
            page = await self.api.get(self.path, query)
            found = (self.read(document) for document in page["items"])
            items.extend(item for item in found if item is not None)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return Page(items, metadata["resourceVersion"])
            query["continue"] = metadata["continue"]

    async def watch(self, version: str) -> AsyncGenerator[Event[T], None]:
        query = {**self._query(), "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311
        async with contextlib.aclosing(self.api.lines(self.path, query, seconds=seconds)) as documents:
            async for document in documents:
                yield self._event(document["type"], document["object"])

    def _query(self) -> dict[str, str]:
        return {"labelSelector": self.selector} if self.selector else {}

    def _event(self, kind: str, document: Json) -> Event[T]:
        if kind == "ERROR":
            raise Expired(str(document.get("message") or document))
        metadata = document["metadata"]
        version = metadata["resourceVersion"]
        if kind == "BOOKMARK":
            return Event(version=version)
        item = None if kind == "DELETED" else self.read(document)
        return Event(version=version, removed=metadata["name"]) if item is None else Event(version=version, put=item)


class Namespace:
    """What the router reads and writes in one namespace."""

    def __init__(self, api: KubeApi, name: str) -> None:
        self._api = api
        self._models_path = f"/apis/{GROUP}/{VERSION}/namespaces/{name}/{PLURAL}"
        self.models: Collection[ModelRecord] = Collection(api, self._models_path, read_model)
        self.pods: Collection[Pod] = Collection(api, f"/api/v1/namespaces/{name}/pods", read_pod, _SERVING_PODS)

    async def merge_status(self, model_id: str, status: Json) -> None:
        """Change these fields of the model's status and no other. Raises ApiError."""
        await self._api.merge_patch(f"{self._models_path}/{model_id}/status", {"status": status})


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End a stream that is cut short without TLS's farewell, which would go on after this router has closed."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _document(data: bytes) -> Any:
    return json.loads(data)


def _message(data: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(data)["message"])
    return data[:200].decode(errors="replace")
