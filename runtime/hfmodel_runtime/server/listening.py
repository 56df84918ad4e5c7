"""The listening socket and the HTTP server on it."""

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

_BACKLOG: Final = 2048
# Longer than any pool in front keeps an unused connection, so that it is never this end that closes one first.
_KEEP_ALIVE_SECONDS: Final = 620
_CLOSING_SECONDS: Final = 5


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: they close the listener at once, and we have promises to keep first."""

    def __init__(self, app: ASGIApp, *, on_started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
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
        await super().startup(sockets=sockets)
        self._on_started()
