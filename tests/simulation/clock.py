"""An event loop whose time is its own: it goes on only when nothing is left to do, and then at once."""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Stuck(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class _NoWaiting(selectors.DefaultSelector):
    """Nothing comes from outside, so instead of waiting for it the clock is set forward."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is due and nothing can come")
        if timeout > 0:
            self._skip(timeout)
        return super().select(0)


class _Numbered:
    """A hash that does not come from an address, so that sets of tasks have the same order in every run."""

    numbers = itertools.count()  # begun anew by each loop

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._number = next(_Numbered.numbers)
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class _Task(_Numbered, asyncio.Task[Any]):
    pass


class _Future(_Numbered, asyncio.Future[Any]):
    pass


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        _Numbered.numbers = itertools.count()
        super().__init__(_NoWaiting(self._forward))
        self.set_task_factory(lambda loop, coroutine, **options: _Task(coroutine, loop=loop, **options))

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    def time(self) -> float:
        return self._now

    def _forward(self, seconds: float) -> None:
        self._now += seconds


def wall_clock(loop: asyncio.AbstractEventLoop, *, ahead: float = 0.0) -> Callable[[], datetime]:
    """The time of day of a machine whose clock is `ahead` by so many seconds."""
    return lambda: _BEGAN + timedelta(seconds=loop.time() + ahead)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
