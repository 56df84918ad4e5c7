"""Python's garbage collector during a start.

It looks through all that there is again and again while there is more and more of it, and nearly all of that stays:
without it, importing takes a tenth less, and loading a model some two fifths (docs/performance.md).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for in the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
