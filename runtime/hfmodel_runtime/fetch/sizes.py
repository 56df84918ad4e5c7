"""Bytes: written for people, summed over a directory, compared with what a volume has left."""

import shutil
from pathlib import Path

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure

_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def human_bytes(count: int) -> str:
    """`538.1 MB`; decimal units, as disks and the Hub's pages have them."""
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def tree_bytes(directory: Path) -> int:
    """Bytes of all files below `directory`; files that go while it looks count nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
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
