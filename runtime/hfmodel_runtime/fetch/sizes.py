"""Bytes summed over a directory, and compared with what a volume has left."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from hfmodel_api.sizes import human_bytes
from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure

FLOAT32_BYTES = 4


class EnsureSpace(Protocol):
    """Refuses work that has no room; may make room first."""

    def __call__(self, directory: Path, *, needed: int, what: str) -> None:
        """`needed` bytes will be written into `directory`, which exists. Raises FetchFailure(NoSpace)."""


def tree_bytes(directory: Path) -> int:
    """Bytes of all files below `directory`; files and folders that go while it looks count nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_size
    return total


def ensure_space(directory: Path, *, needed: int, what: str) -> None:
    """Refuse work that cannot fit on the volume of `directory` (which exists).

    Raises:
        FetchFailure: NoSpace, with what is needed and what is free.
    """
    free = shutil.disk_usage(directory).free
    if needed > free:
        message = (
            f"no space for {what}: {human_bytes(needed)} ({needed} bytes) needed, "
            f"{human_bytes(free)} ({free} bytes) free in {directory}. Enlarge the volume or remove models from it."
        )
        raise FetchFailure(Reason.NO_SPACE, message)
