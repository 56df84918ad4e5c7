"""Where builds keep what the next one can use, and how they keep out of each other's way."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.binaries import CACHE_VARIABLE
from cluster.steps import Report


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of layers, downloads and archives. Whoever deletes it only makes the next build longer."""
    root = environ.get(CACHE_VARIABLE)
    base = Path(root) if root else Path.home() / ".cache" / "hfmodel"
    return base.absolute() / "images"


@contextmanager
def locked(folder: Path, *, report: Report) -> Iterator[None]:
    """Hold `folder`, which exists, against other builds; waits for one that runs."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build of images is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
