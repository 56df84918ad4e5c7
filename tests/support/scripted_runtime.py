"""A runtime made of raw sockets: answers as scripted, or dies in the ways that pods die."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hfmodel_api.names import HEADER_REFUSED

INFO = {
    "model_id": "smollm2",
    "model": "acme/smollm2",
    "revision": "abc123",
    "architecture": "LlamaForCausalLM",
    "seq2seq": False,
    "device": "cuda:0",
    "dtype": "bfloat16",
    "engine": "transformers",
    "max_length": 2048,
    "chat_format": "template",
    "memory_usage": {
        "total_parameters": 10,
        "trainable_parameters": 9,
        "estimated_size_mb": 0.5,
        "cache_bytes_per_token": 4,
        "cache_budget_mb": 1.0,
        "max_concurrent_tokens": 262144,
    },
    "load_seconds": 1.5,
    "versions": {"python": "3.11", "torch": "2.13.0", "transformers": "5.23.0"},
    "cuda_devices": ["NVIDIA Test"],
    "cuda_memory_bytes": [80 * 1024**3],
}


@dataclass(slots=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    def json(self) -> Any:
        return json.loads(self.body)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Return once the caller has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1024):
                pass


Script = Callable[[Received], Awaitable[None]]


@dataclass(slots=True)
class ScriptedRuntime:
    """A server at `url`. Scripts in `next` are used up one request each; then `script` answers all that follow."""

    script: Script
    url: str = ""
    received: list[Received] = field(default_factory=list)
    next: list[Script] = field(default_factory=list)
    open_requests: int = 0
    most_open: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                request = await _read(reader, writer)
                await self._answer(request)
        writer.close()

    async def _answer(self, request: Received) -> None:
        if request.path == "/info":
            await respond(INFO)(request)
            return
        self.received.append(request)
        self.open_requests += 1
        self.most_open = max(self.most_open, self.open_requests)
        try:
            await (self.next.pop(0) if self.next else self.script)(request)
        finally:
            self.open_requests -= 1


@contextlib.asynccontextmanager
async def scripted_runtime(script: Script, *then: Script) -> AsyncIterator[ScriptedRuntime]:
    """Answers each request by the next script; the last one stays."""
    *first, last = (script, *then)
    runtime = ScriptedRuntime(script=last, next=first)
    server = await asyncio.start_server(runtime.handle, "127.0.0.1", 0)
    runtime.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield runtime
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body, writer, reader)


def head(status: int = 200, **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join([f"HTTP/1.1 {status} X", *lines]) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
EVENTS_HEAD = head(200, content_type="text/event-stream; charset=utf-8", transfer_encoding="chunked")


def event(data: object) -> bytes:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def respond(body: object, status: int = 200, **headers: object) -> Script:
    """A whole JSON answer."""
    data = json.dumps(body).encode()

    async def script(request: Received) -> None:
        await request.write(head(status, content_type="application/json", content_length=len(data), **headers) + data)

    return script


def refuse(reason: str = "retired") -> Script:
    """Nothing was started, says this pod."""
    return respond({"detail": reason}, 503, **{HEADER_REFUSED: reason})


async def die_before_headers(request: Received) -> None:
    request.writer.transport.abort()


async def die_before_body(request: Received) -> None:
    await request.write(EVENTS_HEAD)
    request.writer.close()


def die_in_body(*sent: bytes, head_: bytes = EVENTS_HEAD) -> Script:
    """The head and these chunks, then nothing more."""

    async def script(request: Received) -> None:
        await request.write(head_ + b"".join(map(chunk, sent)))
        request.writer.close()

    return script


def stream(*events: object) -> Script:
    """A complete stream of events."""

    async def script(request: Received) -> None:
        await request.write(EVENTS_HEAD)
        for each in events:
            await request.write(chunk(event(each)))
        await request.write(END)

    return script


@dataclass(slots=True)
class Gate:
    """A script that reaches a point, says so, and goes on when told; notes when its caller leaves meanwhile."""

    then: Script
    before: bytes = b""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Received) -> None:
        if self.before:
            await request.write(self.before)
        self.reached.set()
        gone, opened = asyncio.create_task(request.until_closed()), asyncio.create_task(self.opened.wait())
        await asyncio.wait((gone, opened), return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
            opened.cancel()
            return
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await self.then(request)
