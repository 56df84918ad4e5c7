"""A deadline for calls that have none."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def within(call: Callable[[], _T], *, seconds: float) -> _T:
    """What `call` returns or raises, if it does so in time; otherwise it is left to itself.

    The timeouts of an HTTP client are not enough: they hold for each address of a name, and not for its resolution.

    Raises:
        TimeoutError: `call` goes on, in a daemon thread, for nobody.
    """
    outcomes: queue.SimpleQueue[_T | _Raised] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(call())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for it
            outcomes.put(_Raised(error))

    threading.Thread(target=work, daemon=True, name="within").start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.error = error
