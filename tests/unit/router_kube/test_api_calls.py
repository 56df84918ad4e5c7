"""What is asked of an API server, and what its answers are taken for."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from hfmodel_router.kube.api import KubeApi, Namespace
from hfmodel_router.kube.errors import Absent, Expired, Rejected, Unavailable
from hfmodel_router.kube.listwatch import Event
from support.router_objects import model_json, pod_json
from support.scripted_runtime import END, Received, ScriptedRuntime, chunk, die_before_headers, head, respond
from support.scripted_runtime import scripted_runtime as scripted_server

Script = Callable[[Received], Awaitable[None]]


@asynccontextmanager
async def namespace(script: Script, *then: Script) -> AsyncIterator[tuple[Namespace, ScriptedRuntime]]:
    async with scripted_server(script, *then) as server:
        configuration = Configuration(host=server.url)
        async with ApiClient(configuration) as client:
            yield Namespace(KubeApi(client), "ns"), server


def page(*items: Any, version: str = "7", more: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version, "continue": more}, "items": list(items)}


def failure(status: int, message: str = "why") -> Script:
    return respond({"kind": "Status", "message": message, "code": status}, status)


def watch(*lines: Any, after: bytes = END) -> Script:
    """A stream of these documents (or bytes), each on a line."""

    async def script(request: Received) -> None:
        await request.write(head(200, content_type="application/json", transfer_encoding="chunked"))
        for line in lines:
            data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            await request.write(chunk(data))
        await request.write(after)
        if not after:
            request.writer.close()

    return script


def event(kind: str, document: dict[str, Any], version: str = "8") -> dict[str, Any]:
    return {"type": kind, "object": {**document, "metadata": {**document["metadata"], "resourceVersion": version}}}


def query(request: Received) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


async def changes(found: Namespace) -> list[Event[Any]]:
    async with aclosing(found.pods.watch("7")) as events:
        return [each async for each in events]


async def test_a_list_is_read_to_its_last_page() -> None:
    pages = respond(page(model_json("a"), more="next")), respond(page(model_json("b"), version="7"))
    async with namespace(*pages) as (found, server):
        listed = await found.models.list()
    assert ([record.model_id for record in listed.items], listed.version) == (["a", "b"], "7")
    first, second = server.received
    assert urlsplit(first.path).path == "/apis/hfmodel.dev/v1alpha1/namespaces/ns/hfmodels"
    assert "continue" not in query(first)
    assert query(second)["continue"] == "next"


async def test_only_pods_that_serve_models_are_asked_for() -> None:
    async with namespace(respond(page(pod_json()))) as (found, server):
        listed = await found.pods.list()
    assert [pod.name for pod in listed.items] == ["smol-1"]
    assert query(server.received[0])["labelSelector"] == "hfmodel.dev/model,!job-name"


async def test_a_watch_tells_changes_and_bookmarks() -> None:
    stray = pod_json("stray")
    del stray["metadata"]["labels"]
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}}
    stream = watch(
        event("ADDED", pod_json("a"), "8"),
        event("MODIFIED", pod_json("a", ready=False), "9"),
        event("DELETED", pod_json("a"), "10"),
        event("MODIFIED", stray, "11"),
        bookmark,
    )
    async with namespace(stream) as (found, server):
        events = await changes(found)
    told = [(each.version, each.put.ready if each.put else None, each.removed) for each in events]
    assert told == [
        ("8", True, None),
        ("9", False, None),
        ("10", None, "a"),
        ("11", None, "stray"),
        ("12", None, None),
    ]
    asked = query(server.received[0])
    assert (asked["watch"], asked["resourceVersion"], asked["allowWatchBookmarks"]) == ("true", "7", "true")
    assert 0 < int(asked["timeoutSeconds"]) <= 60


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (failure(410), Expired),
        (watch({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}), Expired),
        (watch({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}), Expired),
        (failure(403), Rejected),
        (failure(404), Absent),
        (failure(429), Unavailable),
        (failure(503), Unavailable),
        (watch(b"half a li", after=b""), Unavailable),
        (watch(b"this is no JSON\n"), Unavailable),
        (die_before_headers, Unavailable),
    ],
    ids=[
        "410",
        "410 in the stream",
        "another error in the stream",
        "403",
        "404",
        "429",
        "503",
        "cut",
        "garbage",
        "reset",
    ],
)
async def test_a_watch_fails_as_the_answer_says(script: Script, error: type[Exception]) -> None:
    async with namespace(script) as (found, _):
        with pytest.raises(error):
            await changes(found)


async def test_a_demand_is_a_merge_patch_of_the_status() -> None:
    async with namespace(respond({})) as (found, server):
        await found.merge_status("smol", {"demand": {"wantedAt": "now"}})
    (request,) = server.received
    assert (request.method, request.headers["content-type"]) == ("PATCH", "application/merge-patch+json")
    assert request.path == "/apis/hfmodel.dev/v1alpha1/namespaces/ns/hfmodels/smol/status"
    assert request.json() == {"status": {"demand": {"wantedAt": "now"}}}


async def test_an_error_says_what_the_server_said() -> None:
    async with namespace(failure(403, "pods is forbidden")) as (found, _):
        with pytest.raises(Rejected, match="403: pods is forbidden"):
            await found.pods.list()


async def test_nobody_listens() -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as client:
        with pytest.raises(Unavailable):
            await Namespace(KubeApi(client), "ns").pods.list()
