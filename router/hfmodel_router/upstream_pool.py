"""Connections to pods, kept open between requests."""

import asyncio
import base64
import functools
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hfmodel_router.upstream import Connection

# Shorter than uvicorn's 5 s, so that this side closes an idle connection first.
_KEEPALIVE = 4.0
# A pod whose node is lost sends nothing, not even a reset: probe a silent connection.
_KEEPALIVE_IDLE, _KEEPALIVE_INTERVAL, _KEEPALIVE_PROBES = 15, 5, 4
_UNACKNOWLEDGED_MS = 30_000
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a base URL leads, and the part of a request's head that is the same for all requests there."""

    host: str
    port: int
    tls: bool
    prefix: bytes  # of every path
    fixed_headers: bytes


@functools.lru_cache(maxsize=4096)
def target(url: str) -> Target:
    """`url` as `Endpoint.url`. Raises ValueError for what is no address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{url!r} is not the address of a pod")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    fixed = f"host: {parts.netloc.rpartition('@')[2]}\r\n"
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        fixed += f"authorization: Basic {base64.b64encode(words.encode()).decode()}\r\n"
    return Target(host, port, parts.scheme == "https", parts.path.encode(), fixed.encode())


class UpstreamPool:
    """Gives each request a connection of its own, with no limit: the router bounds requests itself.

    Args:
        connect_timeout: seconds until a pod that does not even answer a connection counts as unreachable.
    """

    def __init__(self, *, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._idle: dict[Target, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self, where: Target) -> Connection:
        """An idle connection, or a new one. Raises OSError (TimeoutError is one)."""
        idle = self._idle.get(where)
        while idle:
            # The youngest: those that are not needed grow old and are closed.
            connection = idle.pop()
            if connection.is_usable:
                return connection
        return await self.open(where)

    def forget(self, where: Target) -> None:
        """Close the idle connections there: one broke, so the others are no better."""
        for connection in self._idle.pop(where, ()):
            connection.abort()

    async def open(self, where: Target) -> Connection:
        """A new connection. Raises OSError."""
        async with asyncio.timeout(self._connect_timeout):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(freed=functools.partial(self._freed, where), lost=self._all.discard),
                where.host,
                where.port,
                ssl=_tls() if where.tls else None,
            )
        if self._closed:
            connection.abort()
            raise ConnectionAbortedError("the router is shutting down")
        self._all.add(connection)
        _watch(connection.socket)
        return connection

    def close(self) -> None:
        """Close every connection, whatever is under way on it."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in tuple(self._all):
            connection.abort()

    def _freed(self, where: Target, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(where, []).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(_KEEPALIVE / 2, self._close_old)

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _KEEPALIVE / 2
        for where, idle in tuple(self._idle.items()):
            for connection in idle:
                if connection.idle_since is not None and connection.idle_since <= oldest:
                    connection.abort()
            kept = [connection for connection in idle if connection.is_usable]
            if kept:
                self._idle[where] = kept
            else:
                del self._idle[where]
        self._sweep = loop.call_later(_KEEPALIVE / 2, self._close_old) if self._idle else None


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _watch(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, name):  # not every system has every one
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
