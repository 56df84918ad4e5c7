"""Running the router in an event loop: its socket, its signals, and an end that loses no request.

On SIGTERM or SIGINT: not ready at once; `drain_delay` later no new connection is taken and what runs or waits goes on;
`drain_timeout` later whoever still waits is told so. A second signal ends everything at once.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Generator

import uvicorn

from hfmodel_api.connections import ConnectionLimits, limited, look_over, watch_for_dead_peers
from hfmodel_api.errors import HFModelError
from hfmodel_router.app import Router
from hfmodel_router.front import Front
from hfmodel_router.limits import connection_limits
from hfmodel_router.settings import RouterSettings

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_TICK = 1.0  # seconds; how old the Date header may be
_LOOK = 0.02  # seconds between looks whether all connections are closed
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LAST_WORDS = 2.0  # seconds between telling those who wait and cutting what still runs


class CannotListen(HFModelError):
    """The address cannot be listened on; the text says which and why."""


class _Server(uvicorn.Server):
    def __init__(self, app: Router, *, on_started: Callable[[], None]) -> None:
        super().__init__(_config(app, limits=connection_limits(app.settings, refused=app.refused)))
        self._on_started = on_started
        self._ending = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        look_over(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it should end.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own handlers would close the listener at the first signal.
        yield

    def end(self) -> None:
        """Take no new connection, and end once all requests are answered."""
        self.should_exit = True
        self._ending.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # As uvicorn's, without its fixed waits.
        for listener in self.servers:
            listener.close()
        for sock in sockets or ():
            sock.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)

    async def cut(self) -> None:
        """End at once, whatever runs."""
        self.end()
        self.force_exit = True
        tasks = tuple(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)


def _config(app: Router, *, limits: ConnectionLimits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=limited(limits, protocol=Front),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=app.settings.keep_alive,  # type: ignore[arg-type] # only ever added to a time
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


async def run(
    app: Router,
    settings: RouterSettings,
    *,
    sock: socket.socket | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until the end is asked for, then drain.

    Args:
        sock: a listening socket; default: `settings.host` and `settings.port`.
        on_ready: called with the base URL once requests are taken.
        stop: setting it asks for the end, and no signal handler is installed; default: SIGTERM and SIGINT do.

    Raises:
        CannotListen: nothing was started.
    """
    listener = sock if sock is not None else bind(settings.host, settings.port)
    watch_for_dead_peers(listener)
    server = _Server(app, on_started=lambda: on_ready(_url(listener)) if on_ready is not None else None)
    await app.start()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        with _end_asked(stop) as (asked, forced):
            await _first(serving, asked)
            if not serving.done():
                await _drain(app, settings, server=server, serving=serving, forced=forced)
    finally:
        app.give_up()
        try:
            await server.cut()
            await serving
        finally:
            await app.stop()


async def until_done_or_ended(work: Coroutine[None, None, None]) -> bool:
    """Do `work`; False if a signal asks for the end before it is done."""
    with _end_asked(None) as (asked, _):
        working, waiting = asyncio.create_task(work), asyncio.create_task(asked.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            return working.done()
        finally:
            working.cancel()
            waiting.cancel()


async def _drain(
    app: Router,
    settings: RouterSettings,
    *,
    server: _Server,
    serving: asyncio.Task[None],
    forced: asyncio.Event,
) -> None:
    logger.info("draining")
    app.drain()
    await _first(serving, forced, timeout=settings.drain_delay)
    server.end()
    await _first(serving, forced, timeout=settings.drain_timeout)
    app.give_up()
    await _first(serving, forced, timeout=_LAST_WORDS)


async def _first(serving: asyncio.Task[None], event: asyncio.Event, *, timeout: float | None = None) -> None:
    """Wait until the server has ended, the event is set or the time is over."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((serving, waiting), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


@contextlib.contextmanager
def _end_asked(stop: asyncio.Event | None) -> Generator[tuple[asyncio.Event, asyncio.Event], None, None]:
    """Two events: the end is asked for; it is asked for again, and now."""
    asked, forced = stop or asyncio.Event(), asyncio.Event()
    if stop is not None:
        yield asked, forced
        return

    def on_signal(number: signal.Signals) -> None:
        # SIGTERM may be said twice about one end, such as by a kubelet that was restarted: only Ctrl-C means now.
        if asked.is_set() and number is signal.SIGINT:
            forced.set()
        asked.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield asked, forced
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
