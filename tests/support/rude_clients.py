"""Clients that misbehave, on raw sockets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Said:
    """An answer, as far as it came before the connection was closed."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RudeClient:
    """One connection, that its test does what it likes with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Ignores that nobody reads it any more."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def answer(self) -> Said:
        """The next answer, whose length is known."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Said(int(first.split(" ")[1]), headers, body)

    async def take(self, size: int) -> bytes:
        """So many bytes; raises where the connection ends before."""
        return await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        return await self._reader.read()

    async def until_closed(self) -> None:
        """Returns once the server has closed the connection; what it still says is thrown away."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass


@contextlib.asynccontextmanager
async def rude_client(url: str, *, takes_little: bool = False) -> AsyncIterator[RudeClient]:
    """Connected.

    Args:
        takes_little: what is not read piles up at the server almost at once.
    """
    address = urlsplit(url)
    sock = socket.socket()
    if takes_little:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**20 if not takes_little else 1024)
    try:
        yield RudeClient(reader, writer)
    finally:
        writer.transport.abort()


def post(path: str, body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """A request; `length` is what it says of its body."""
    lines = (b"POST %b HTTP/1.1" % path.encode(), b"Host: x", b"Content-Type: application/json", *headers)
    announced = b"Content-Length: %d" % (len(body) if length is None else length)
    return b"\r\n".join((*lines, announced, b"", b"")) + body
