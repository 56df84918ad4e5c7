"""From the engine's thread to the event loop, at one wake-up for all the news of a step."""

import asyncio
from collections import deque
from collections.abc import Callable

Delivery = Callable[[], None]


class Mailbox:
    """Runs what any thread posts, in order, on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: deque[Delivery] = deque()
        self._awake = False

    def post(self, delivery: Delivery) -> None:
        """From any thread; never blocks, never raises."""
        self._posted.append(delivery)
        # A batch of 64 posts 64 times a step; waking the loop is a system call, so only the first post does it.
        # Losing the race with `_deliver` costs one wake-up too many, never one too few.
        if not self._awake:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                # The loop is closed: nobody is left to read this.
                self._posted.clear()

    def _deliver(self) -> None:
        self._awake = False
        for _ in range(len(self._posted)):
            self._posted.popleft()()
