"""One process of the router: its whole ASGI application over its own watches. Only the bytes to a pod are played."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from hfmodel_router.app import Router
from hfmodel_router.cors import Headers
from hfmodel_router.errors import BrokenOff, Died, Refused, Unreachable
from hfmodel_router.fleet import Endpoint
from hfmodel_router.kube.api import Namespace
from hfmodel_router.kube.errors import Unavailable, api_error
from hfmodel_router.kube.fleet import KubeFleet
from hfmodel_router.settings import RouterSettings
from simulation import node as nodes
from simulation.api_server import NAMESPACE, Json
from simulation.api_server import Refused as ApiRefused
from simulation.calls import Line, NoAnswer, Process
from simulation.connections import Port
from simulation.node import Container, Cut, Node

_CONNECT_SECONDS = 2.0


class SimulatedApi:
    """What of `kube.api.KubeApi` a namespace needs, over a line instead of HTTP."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        return await self._call("GET", path, query=query, body=None)

    async def merge_patch(self, path: str, body: Json) -> None:
        await self._call("PATCH", path, query=None, body=body)

    async def lines(self, path: str, query: Mapping[str, str], *, seconds: int) -> AsyncGenerator[Json, None]:
        try:
            watch = self._line.watch(path, query["resourceVersion"], selector=query.get("labelSelector"))
            async with contextlib.aclosing(watch) as events:
                async for event in events:
                    yield event
        except NoAnswer as error:
            raise Unavailable("the connection is gone") from error

    async def _call(self, method: str, path: str, *, query: Mapping[str, str] | None, body: Json | None) -> Json:
        try:
            return await self._line.call(method, path, query=query, body=body)
        except NoAnswer as error:
            raise Unavailable("no answer") from error
        except ApiRefused as error:
            raise api_error(error.status, error.message) from error


class SimulatedAnswer:
    """A pod's answer as `relay.Answer` shows it: two chunks, or one where the pod refuses."""

    def __init__(self, *, status: int, events: bool, chunks: list[bytes], rest: "asyncio.Task[bool] | None") -> None:
        self.status = status
        self.is_events = events
        self.tokens = b""
        self.retry_after: float | None = 1.0 if status == 429 else None
        kind = b"text/event-stream" if events else b"application/json"
        self.headers: Headers = [(b"content-type", kind)]
        self.first, *self._chunks = chunks
        self._rest = rest

    @property
    def complete(self) -> bool:
        return not self._chunks

    async def read(self) -> bytes:
        if self._rest is not None:
            try:
                await self._rest
            except Cut as error:
                raise BrokenOff("the connection broke") from error
        return self._chunks.pop(0)

    async def read_error(self) -> bytes:
        return self.first

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A connection that is closed early is what ends the work.
        if self._rest is not None:
            self._rest.cancel()


def expected_text(prompt: str) -> str:
    """What a pod answers to this prompt."""
    return f"{prompt}, and so on"


def relay_through(node: Node) -> Callable[..., Any]:
    """In place of `relay.send`."""

    async def send(_session: Any, endpoint: Endpoint, _path: str, *, body: bytes, headers: Any) -> SimulatedAnswer:
        try:
            container = node.at(endpoint.url, caller="routers")
        except nodes.Unreachable as error:
            await asyncio.sleep(node.random.uniform(0, _CONNECT_SECONDS))
            raise Unreachable("no connection") from error
        request = json.loads(body)
        begun = asyncio.Event()
        work = node.work(container, seconds=float(request["seed"]) / 1000, begun=begun.set)
        return await _answer(container, asyncio.create_task(work), begun, request)

    return send


async def _answer(
    container: Container, working: "asyncio.Task[bool]", begun: asyncio.Event, request: Json
) -> SimulatedAnswer:
    beginning = asyncio.create_task(begun.wait())
    events = bool(request.get("stream"))
    try:
        await asyncio.wait({working, beginning} if events else {working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not working.result():
            return SimulatedAnswer(status=429, events=False, chunks=[b'{"error": {}}'], rest=None)
    except nodes.NotReady as error:
        raise Refused(str(error)) from error
    except Cut as error:
        raise Died("the connection broke") from error
    except asyncio.CancelledError:
        working.cancel()
        raise
    finally:
        beginning.cancel()
    text = expected_text(request["text"])
    if not events:
        return SimulatedAnswer(status=200, events=False, chunks=[json.dumps({"text": text}).encode()], rest=None)
    chunks = [_event(text[:5]), _event(text[5:]) + b"data: [DONE]\n\n"]
    return SimulatedAnswer(status=200, events=True, chunks=chunks, rest=working)


def _event(text: str) -> bytes:
    return b"data: " + json.dumps({"text": text}).encode() + b"\n\n"


class RunningRouter:
    """Runs from `start` until it is stopped or killed."""

    def __init__(self, line: Line, node: Node, *, settings: RouterSettings, now: Callable[[], datetime]) -> None:
        self.line = line
        self.accepts = False  # whether the Service sends it new connections

        async def ask(url: str) -> bool:
            try:
                return await node.ready(url, caller="routers")
            except (nodes.Unreachable, Cut):
                return False

        namespace = Namespace(SimulatedApi(line), NAMESPACE)  # type: ignore[arg-type]
        self._fleet = KubeFleet(namespace, ask=ask, clock=now)
        self._app = Router(fleet=self._fleet, settings=settings)
        self.port = Port(self._app)

    @property
    def process(self) -> Process:
        return self.line.process

    async def start(self) -> None:
        await self._fleet.__aenter__()
        await self._fleet.synced()
        await self._app.start()
        self.accepts = True

    async def stop(self) -> None:
        """In good order: no new connections, then the end of every request."""
        self.accepts = False
        while self.port.requests:
            await asyncio.wait(self.port.requests)
        await self._app.stop()
        await self._fleet.__aexit__(None, None, None)

    async def kill(self) -> None:
        """At once: every connection breaks."""
        self.accepts = False
        self.process.kill()
        self.port.break_all()
        await self._app.stop()
        await self._fleet.__aexit__(None, None, None)
