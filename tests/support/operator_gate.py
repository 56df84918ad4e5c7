"""A gate between an operator and its API server: it counts the calls, holds them, or makes one of them the last.

It speaks HTTP to the operator, whose account has a token, and HTTPS to the server; what passes is not changed.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import yaml
from aiohttp import web

_PASSED_ON: Final = ("Authorization", "Accept", "Content-Type", "User-Agent")

When = Literal["before", "after"]
Away = Literal["refuses", "hangs"]


@dataclass(slots=True)
class Call:
    """One request of the operator."""

    word: str  # as in "POST pods", "PATCH hfmodels/status"
    body: Any = None
    status: int = 0  # of the answer; 0: none yet

    @property
    def made(self) -> bool:
        return self.status in (200, 201)


@dataclass(slots=True)
class Trap:
    """`spring` runs once, `when` the server gets or has answered the call; then the connection is cut, or goes on."""

    matches: Callable[[Call], bool]
    when: When
    spring: Callable[[], Awaitable[None]]
    cuts: bool = True
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Gate:
    """Between the operator of one namespace and its server."""

    upstream: str
    tls: ssl.SSLContext
    session: aiohttp.ClientSession
    kubeconfig: Path  # leads through it
    calls: list[Call] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)
    _away: Away | None = None
    _back: asyncio.Event = field(default_factory=asyncio.Event)
    _streams: set[asyncio.Transport] = field(default_factory=set)

    def made(self, word: str) -> int:
        """How many calls of that word the server has carried out."""
        return sum(call.word == word and call.made for call in self.calls)

    def writes(self) -> list[Call]:
        return [call for call in self.calls if not call.word.startswith("GET")]

    def go_away(self, how: Away) -> None:
        """Refuse every connection, also those that there are; or let everything hang."""
        self._away = how
        self._back.clear()
        for transport in self._streams if how == "refuses" else ():
            transport.abort()

    def come_back(self) -> None:
        self._away = None
        self._back.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(_word(request.method, request.path), _json(await request.read()))
        self.calls.append(call)
        if not await self._is_open(request) or await self._trapped(call, "before", request):
            return web.Response()
        url = f"{self.upstream}{request.raw_path}"
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        async with self.session.request(
            request.method, url, headers=headers, data=await request.read() or None, ssl=self.tls
        ) as answer:
            call.status = answer.status
            if "watch" in request.query:
                return await self._stream(request, answer)
            data = await answer.read()
        if not await self._is_open(request) or await self._trapped(call, "after", request):
            return web.Response()
        return web.Response(status=answer.status, body=data, content_type=answer.content_type)

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        transport = _transport(request)
        self._streams.add(transport)
        try:
            async for data in answer.content.iter_any():
                if not await self._is_open(request):
                    break
                await response.write(data)
        except ConnectionError:
            return response  # the operator went away
        finally:
            self._streams.discard(transport)
        return response

    async def _is_open(self, request: web.Request) -> bool:
        if self._away == "refuses":
            _transport(request).abort()
            return False
        await self._back.wait()
        return True

    async def _trapped(self, call: Call, when: When, request: web.Request) -> bool:
        for trap in self.traps:
            if trap.when == when and not trap.sprung.is_set() and trap.matches(call):
                trap.sprung.set()
                await trap.spring()
                if trap.cuts:
                    _transport(request).abort()
                return trap.cuts
        return False


def _transport(request: web.Request) -> asyncio.Transport:
    assert request.transport is not None
    assert isinstance(request.transport, asyncio.Transport)
    return request.transport


def _word(method: str, path: str) -> str:
    """The kind of object, and its part; which one it is does not matter."""
    _, _, below = path.partition("/namespaces/")
    _, _, below = below.partition("/")
    plural, *rest = below.split("/")
    return f"{method} {'/'.join([plural, *rest[1:]])}"


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


@asynccontextmanager
async def operator_gate(kubeconfig: Path, own: Path) -> AsyncIterator[Gate]:
    """A gate before the server of `kubeconfig`; writes to `own` the kubeconfig that leads through it."""
    config: Any = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
    cluster = config["clusters"][0]["cluster"]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        gate = Gate(cluster["server"], _tls(cluster), session, own)
        gate.come_back()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", gate.handle)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        await asyncio.to_thread(own.write_text, yaml.safe_dump(config))
        try:
            yield gate
        finally:
            await runner.cleanup()


def _tls(cluster: dict[str, str]) -> ssl.SSLContext:
    if "certificate-authority" in cluster:
        return ssl.create_default_context(cafile=cluster["certificate-authority"])
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return ssl.create_default_context(cadata=authority)
