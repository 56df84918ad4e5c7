"""Blocking work beside the event loop, in threads that the end of the process does not wait for."""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def in_daemon_thread(work: Callable[[], T], *, name: str) -> "asyncio.Future[T]":
    """`work()` in a thread of its own; cancelling the future abandons the thread, it does not end it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[], None]) -> None:
        if not future.done():
            set_outcome()

    def run() -> None:
        try:
            outcome = partial(future.set_result, work())
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the future
            outcome = partial(future.set_exception, error)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            logger.debug("nobody is left to take the outcome of thread %s", name)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
