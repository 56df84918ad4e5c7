"""Noticing that a caller has gone, while something else goes on."""

import asyncio
from types import TracebackType
from typing import Self

from hfmodel_router.errors import ClientGone
from hfmodel_router.front import Turn


class UntilDisconnect:
    """`async with UntilDisconnect(turn):` cancels its body and raises ClientGone once the client has gone.

    Works as asyncio.timeout does: a cancellation from outside stays one.
    """

    __slots__ = ("_cancelling", "_gone", "_task", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("UntilDisconnect needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._turn.watch(self._leave)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._turn.watch(None)
        if not self._gone:
            return
        remaining = self._task.uncancel()
        if kind is not None and issubclass(kind, asyncio.CancelledError) and remaining <= self._cancelling:
            raise ClientGone from None

    def _leave(self) -> None:
        self._gone = True
        self._task.cancel()
