"""`serve`: one model behind one port, until told to stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from typing import Final

import uvicorn

from hfmodel_api.wire import Failure
from hfmodel_runtime import logs
from hfmodel_runtime.server.listening import listen
from hfmodel_runtime.server.loading import load_engine
from hfmodel_runtime.server.process import ServingProcess
from hfmodel_runtime.settings import ServeSettings

logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def serve(settings: ServeSettings, *, sock: socket.socket | None = None) -> int:
    """Serve until SIGTERM or SIGINT; blocks, on the main thread only. Returns the exit code.

    Args:
        sock: a socket that listens already; without one, `settings.host` and `settings.port` are bound.

    Returns:
        0 after a signal; 1 if the port cannot be had or the model cannot be loaded, which a last line says. The caller
        ends the process by `os._exit`: a loading thread that was told to stop may still be deep in native code.
    """
    logs.configure(settings.log_level)
    # What is served lies in the directory; a library that looks for more must fail, not wait for a network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        listener = sock if sock is not None else listen(settings.host, settings.port)
    except OSError as error:
        logger.error("cannot listen on %s:%d: %s", settings.host, settings.port, error.strerror or error)  # noqa: TRY400
        return 1
    host, port = listener.getsockname()[:2]
    logger.info("listening", extra={"fields": {"host": host, "port": port, "model_dir": settings.model_dir}})
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        failure = runner.run(_run(settings, listener))
    if failure is None:
        logger.info("stopped")
        return 0
    _report(failure, settings)
    return 1


async def _run(settings: ServeSettings, listener: socket.socket) -> Failure | None:
    process = ServingProcess(settings, listener, load=load_engine)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.stop)
    loop.add_signal_handler(signal.SIGINT, process.interrupt)
    try:
        return await process.run()
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _report(failure: Failure, settings: ServeSettings) -> None:
    logger.error("cannot serve: %s", failure.message, extra={"fields": {"reason": failure.reason.value}})
    text = failure.model_dump_json()
    if settings.termination_log is not None:
        try:
            settings.termination_log.write_text(text + "\n")
        except OSError as error:
            logger.warning("cannot write %s: %s", settings.termination_log, error.strerror or error)
    print(text, file=sys.stderr, flush=True)
