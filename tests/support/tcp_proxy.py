"""A TCP proxy that can lose its other side, as a network does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class TcpProxy:
    """Passes bytes to `host`:`port` while it is up; listens at `address` all the time."""

    host: str
    port: int
    up: bool = True
    address: tuple[str, int] = ("", 0)
    accepted: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Reset every connection, and each that comes until `restore`."""
        self.up = False
        for writer in tuple(self._writers):
            writer.transport.abort()

    def restore(self) -> None:
        self.up = True

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with contextlib.suppress(OSError):
            if not self.up:
                writer.transport.abort()
                return
            other_reader, other_writer = await asyncio.open_connection(self.host, self.port)
            self._writers |= {writer, other_writer}
            try:
                await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))
            finally:
                self._writers -= {writer, other_writer}
                writer.transport.abort()
                other_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()


@contextlib.asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(host, port)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.address = server.sockets[0].getsockname()[:2]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
