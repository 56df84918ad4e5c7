"""One downloader per commit."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@contextmanager
def held(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` exclusively, among threads and processes; `waiting` is called while another has it.

    Saves a second download and nothing else: on a volume without locks both write the same bytes to the same places.
    The file stays: to delete it would let two processes lock two files of one name.
    """
    descriptor = _open(path)
    try:
        while not _try_lock(descriptor, path):
            waiting()
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_at_once(path: Path) -> Iterator[bool]:
    """Hold it if nobody else does; tells which."""
    descriptor = _open(path)
    try:
        yield _try_lock(descriptor, path)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        logger.warning("volume has no locks, another fetch may download the same path=%s", path)
    return True
