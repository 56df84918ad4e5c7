"""`python -m bench.relay.load …`: clients on raw sockets, in a process of their own. Prints what they saw as JSON."""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.relay import traffic

_TAIL = 16  # bytes; longer than what ends an answer


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._seen = b""  # its end is enough
        self._good = False
        self._answered: asyncio.Future[float] | None = None
        self._began: asyncio.Future[float] | None = None
        self.reads = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for waiter in (self._answered, self._began):
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionError("the proxy closed the connection"))

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        first = not self._seen
        if first:
            self._good = data.startswith(b"HTTP/1.1 200")
        self._seen = self._seen[-_TAIL:] + data
        if first and self._began is not None and not self._began.done():
            self._began.set_result(time.perf_counter())
        if self._answered is not None and self._complete():
            if self._good:
                self._answered.set_result(time.perf_counter())
            else:
                self._answered.set_exception(ConnectionError("the proxy answered with an error"))

    def _complete(self) -> bool:
        """All answers here are either chunked to their end, or JSON that ends in a brace."""
        return self._seen.endswith((b"\r\n" + traffic.END_OF_CHUNKS, b"}"))

    def send(self, request: bytes) -> "asyncio.Future[float]":
        """The time at which the answer was complete."""
        self._seen = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    async def begin(self, request: bytes) -> None:
        """Return once the answer's first bytes are there."""
        self._began = asyncio.get_running_loop().create_future()
        self.send(request)
        await self._began


async def _connect(address: str) -> Client:
    host, _, port = address.rpartition(":")
    _, client = await asyncio.get_running_loop().create_connection(Client, host, int(port))
    return client


async def closed(addresses: list[str], *, connections: int, seconds: float, stream: bool) -> dict[str, Any]:
    """Each connection sends its next request when the last one is answered."""
    until = time.perf_counter() + seconds
    answered, reads = 0, 0

    async def one(address: str) -> None:
        nonlocal answered, reads
        client = await _connect(address)
        request = traffic.request(host=address, stream=stream)
        while time.perf_counter() < until:
            await client.send(request)
            answered += 1
        reads += client.reads

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(one(addresses[number % len(addresses)]))
    return {"answered": answered, "reads": reads}


async def opened(addresses: list[str], *, rate: float, seconds: float) -> dict[str, Any]:
    """So many requests a second, whether or not those before were answered; times are from when each was due."""
    idle: list[Client] = [await _connect(addresses[0]) for _ in range(16)]
    request = traffic.request(host=addresses[0], stream=False)
    for client in idle:
        await client.send(request)
    times: list[float] = []

    async def one(due: float) -> None:
        client = idle.pop() if idle else await _connect(addresses[0])
        times.append(await client.send(request) - due)
        idle.append(client)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            # Clients of their own would not be late because this process was: only the proxy's share counts.
            group.create_task(one(time.perf_counter()))
    times.sort()
    return {"answered": len(times), "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}


async def hold(addresses: list[str], *, streams: int) -> dict[str, Any]:
    """Open so many slow streams, say so, and hold them until stdin ends."""
    clients = []
    for number in range(streams):
        address = addresses[number % len(addresses)]
        client = await _connect(address)
        await client.begin(traffic.request(host=address, stream=True, pace_ms=1000))
        clients.append(client)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    return {"answered": streams, "reads": sum(client.reads for client in clients)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("plain", "stream", "rate", "hold"))
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    addresses = [urlsplit(url).netloc for url in options.urls]
    match options.kind:
        case "rate":
            work = opened(addresses, rate=options.rate, seconds=options.seconds)
        case "hold":
            work = hold(addresses, streams=options.connections)
        case kind:
            stream = kind == "stream"
            work = closed(addresses, connections=options.connections, seconds=options.seconds, stream=stream)
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(uvloop.run(work)), flush=True)


if __name__ == "__main__":
    main()
