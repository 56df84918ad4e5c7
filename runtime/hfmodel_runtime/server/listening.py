"""The listening socket and the HTTP server on it."""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from hfmodel_api.connections import (
    ConnectionLimits,
    affordable_connections,
    limited,
    look_over,
    watch_for_dead_peers,
)
from hfmodel_runtime.settings import ServeSettings

_BACKLOG: Final = 2048
# Longer than any pool in front keeps an unused connection, so that it is never this end that closes one first.
_KEEP_ALIVE_SECONDS: Final = 620
_CLOSING_SECONDS: Final = 5
_TICKS_A_SECOND: Final = 10  # of uvicorn


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def connection_limits(settings: ServeSettings, *, refused: Callable[[str], None]) -> ConnectionLimits:
    """`settings`, within what this process may open."""
    return ConnectionLimits(
        max_connections=affordable_connections(settings.max_connections, files_each=1),
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        header_timeout=settings.header_timeout,
        stall_timeout=settings.stall_timeout,
        refused=refused,
    )


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: they close the listener at once, and we have promises to keep first."""

    def __init__(self, app: ASGIApp, *, limits: ConnectionLimits, on_started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=limited(limits),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,  # nobody here asks who the client is
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_CLOSING_SECONDS,
                backlog=_BACKLOG,
            )
        )
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or ():
            watch_for_dead_peers(listener)
        await super().startup(sockets=sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            look_over(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)
