"""Several calls to the API server at a time, within bounds: it serves others too."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

AT_ONCE: Final = 16


async def together(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do them all, some at a time, and in their order where that matters little.

    Raises:
        Exception: what the first that failed raised, once all have ended: whatever they did is known then.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def in_turn(call: Coroutine[Any, Any, None]) -> None:
        async with slots:
            await call

    ended = await asyncio.gather(*map(in_turn, calls), return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, BaseException):
            raise outcome
