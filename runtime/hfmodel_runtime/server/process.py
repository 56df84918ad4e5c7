"""One serving process from open port to exit: load, serve, leave, drain."""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hfmodel_api.wire import Failure, Stage
from hfmodel_runtime.allocator import allocator_in_use
from hfmodel_runtime.engine.protocol import Engine, LoadOptions
from hfmodel_runtime.lifecycle import Event, Lifecycle, State
from hfmodel_runtime.server.app import create_app
from hfmodel_runtime.server.listening import HttpServer, connection_limits
from hfmodel_runtime.server.loading import LoadEngine, failure_of, load_options
from hfmodel_runtime.server.model import ServedModel
from hfmodel_runtime.server.threads import in_daemon_thread
from hfmodel_runtime.settings import ServeSettings
from hfmodel_runtime.timeline import of_this_process

logger = logging.getLogger(__name__)

# What the engine's thread has to end in, and after it the answers that were cut short to say so.
_FAREWELL_SECONDS: Final = 5.0


class ServingProcess:
    """Serves `settings` on `listener`; `load` makes the engine. Runs once, on one event loop."""

    def __init__(self, settings: ServeSettings, listener: socket.socket, *, load: LoadEngine) -> None:
        self._settings = settings
        self._listener = listener
        self._load = load
        self._lifecycle = Lifecycle()
        self._timeline = of_this_process()
        self._model = ServedModel(settings, self._lifecycle, loop=asyncio.get_running_loop())
        self._engine: Engine | None = None
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        limits = connection_limits(settings, refused=lambda code: self._model.metrics.refused.labels(code).inc())
        self._server = HttpServer(create_app(self._model), limits=limits, on_started=self._started.set)

    def stop(self) -> None:
        """End in good order. Again is harmless: a kubelet that was restarted says the same once more."""
        self._stopping.set()

    def interrupt(self) -> None:
        """End: the first time in good order, after that at once."""
        if self._stopping.is_set():
            logger.warning("told to stop again: stopping at once")
            self._server.force_exit = True
            self._forced.set()
        self._stopping.set()

    async def run(self) -> Failure | None:
        """Returns when the port is closed: None after `stop`, or why loading failed."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        # Should the server ever end by itself, so does the process, with the server's own exception.
        serving.add_done_callback(lambda _: self._stopping.set())
        try:
            await _first(self._started.wait(), self._stopping.wait())
            self._timeline.reached(Stage.PORT)
            failure = await self._load_unless_stopped()
            if failure is None:
                await self._stopping.wait()
                await self._leave()
        finally:
            self._server.should_exit = True
            await serving
        await self._close_engine()
        return failure

    async def _load_unless_stopped(self) -> Failure | None:
        loading = in_daemon_thread(partial(self._load, self._load_options()), name="load")
        await _first(asyncio.wait({loading}), self._stopping.wait())
        if not loading.done():
            loading.cancel()
            return None
        try:
            self._engine = loading.result()
        except Exception as error:  # noqa: BLE001 - whatever a loader raises is a reason not to serve
            return failure_of(error)
        self._timeline.reached(Stage.WARM_UP)
        self._model.loaded(self._engine, self._timeline.start())
        self._log_ready(self._engine)
        return None

    def _load_options(self) -> LoadOptions:
        return replace(load_options(self._settings), reached=self._timeline.reached)

    def _log_ready(self, engine: Engine) -> None:
        info = engine.info
        fields = {
            "model_id": info.model_id,
            "architecture": info.architecture,
            "device": info.device,
            "dtype": info.dtype,
            "max_length": info.max_length,
            "allocator": allocator_in_use(),
            "load_seconds": info.load_seconds,
        }
        logger.info("ready", extra={"fields": fields})
        logger.info("started", extra={"fields": self._timeline.start().stages})

    async def _leave(self) -> None:
        logger.info("told to stop", extra={"fields": {"in_flight": self._lifecycle.in_flight}})
        if self._lifecycle.apply(Event.LEAVE) is State.LEAVING:
            if self._settings.drain_delay:
                await _first(self._forced.wait(), timeout=self._settings.drain_delay)
            self._lifecycle.apply(Event.DRAIN)
        idle = asyncio.Event()
        self._lifecycle.when_idle(idle.set)
        await _first(idle.wait(), self._forced.wait(), timeout=self._settings.drain_timeout)
        if not (idle.is_set() or self._forced.is_set()):
            logger.warning(
                "drain timeout: cutting requests short", extra={"fields": {"in_flight": self._lifecycle.in_flight}}
            )
            # The engine ends their sequences with an error, which reaches the callers as one.
            await self._close_engine()
            await _first(idle.wait(), self._forced.wait(), timeout=_FAREWELL_SECONDS)

    async def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None or self._forced.is_set():
            return
        closing = in_daemon_thread(engine.close, name="close")
        await asyncio.wait({closing}, timeout=_FAREWELL_SECONDS)
        if not closing.done():
            logger.warning("the engine did not end in time")


async def _first(*events: Coroutine[Any, Any, Any], timeout: float | None = None) -> None:
    """Returns when one of `events` has happened, or after `timeout` seconds."""
    waiting = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
