"""Where one `hfmodel up` keeps its logs while it runs; nothing of it stays."""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hfmodel_cli.local.errors import CannotStart

logger = logging.getLogger(__name__)

_LOCK = "lock"


@contextmanager
def state_directory(cache_dir: Path) -> Iterator[Path]:
    """A folder under `cache_dir` for this process alone. Those that killed processes left behind are removed.

    Raises:
        CannotStart: the cache cannot be written.
    """
    runs = cache_dir / "run"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        # Held while cleaning and making, so that nobody takes a folder that is being made for one left behind.
        with _locked(runs / _LOCK):
            _clean(runs)
            directory = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=runs))
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise CannotStart(
            f"the cache folder {cache_dir} cannot be used: {error.strerror or error} (choose another with --cache-dir)"
        ) from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clean(runs: Path) -> None:
    for directory in runs.iterdir():
        if directory.is_dir() and not _is_alive(directory):
            logger.debug("event=stale_state_removed directory=%s", directory)
            shutil.rmtree(directory, ignore_errors=True)


def _is_alive(directory: Path) -> bool:
    """Whether a process holds its lock; the kernel lets go of it when that ends, however it ends."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
