"""Noticing that a caller has gone, while something else goes on."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from hfmodel_router.errors import ClientGone


class UntilDisconnect:
    """`async with UntilDisconnect(receive):` cancels its body and raises ClientGone once the client has gone.

    The request's body must have been read before. Works as asyncio.timeout does: a cancellation from outside stays one.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("UntilDisconnect needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._watch = asyncio.create_task(self._wait())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if not self._gone:
            return
        remaining = self._task.uncancel()
        if kind is not None and issubclass(kind, asyncio.CancelledError) and remaining <= self._cancelling:
            raise ClientGone from None

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
