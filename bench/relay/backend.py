"""`python -m bench.relay.backend PORT`: a runtime that computes nothing, so that a proxy's own cost shows."""

import asyncio
import json
import re
import sys

import uvloop

from bench.relay import traffic
from hfmodel_api.wire import PATH_INFO

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PACE = re.compile(rb'"pace_ms": (\d+)')
_INFO = json.dumps(
    {
        "model_id": traffic.MODEL,
        "model": traffic.MODEL,
        "revision": None,
        "architecture": "none",
        "seq2seq": False,
        "device": "cpu",
        "dtype": "float32",
        "engine": "none",
        "max_length": 1024,
        "chat_format": "plain",
        "memory_usage": {
            "total_parameters": 0,
            "trainable_parameters": 0,
            "estimated_size_mb": 0.0,
            "cache_bytes_per_token": 0,
            "cache_budget_mb": 0.0,
            "max_concurrent_tokens": 0,
        },
        "load_seconds": 0.0,
        "versions": {},
    }
).encode()


class Backend(asyncio.Protocol):
    """One connection; a request at a time, as every proxy here sends them."""

    def __init__(self) -> None:
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        self._received = b""
        if head.startswith(b"GET"):
            self._transport.write(traffic.response(_INFO if PATH_INFO.encode() in head else b"{}"))
        elif b'"stream": true' in body:
            self._transport.write(traffic.stream_head())
            pace = _PACE.search(body)
            self._next_chunk(traffic.CHUNKS, pace=int(pace[1]) / 1000 if pace else 0.001)
        else:
            self._transport.write(traffic.answer())

    def _next_chunk(self, left: int, *, pace: float) -> None:
        if not left:
            self._transport.write(traffic.END_OF_CHUNKS)
            return
        self._transport.write(traffic.event_chunk())
        self._timer = asyncio.get_running_loop().call_later(pace, lambda: self._next_chunk(left - 1, pace=pace))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
