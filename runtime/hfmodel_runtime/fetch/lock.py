"""One downloader per commit."""

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.1
_BEAT_SECONDS = 60.0  # far below the patience: a file system may keep the times of others' files for a minute
_NONE_YET = object()
_NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class Silence:
    """Whether signs of life have been the same for `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: object = _NONE_YET
        self._since = 0.0

    def lasts(self, sign: object, *, now: float) -> bool:
        """`sign` is what is seen at `now` (seconds of a monotonic clock)."""
        if sign != self._last:
            self._last, self._since = sign, now
        return now - self._since >= self._patience


@contextmanager
def held(
    path: Path,
    *,
    waiting: Callable[[], None],
    sign: Callable[[], object] = lambda: None,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[None]:
    """Hold the lock file `path` exclusively, among threads and processes; `waiting` is called while another has it.

    Saves a second download and nothing else: on a volume without locks both write the same bytes to the same places.
    So a lock that nobody frees (its owner was on a machine that a network file system waits for) is not waited for
    for ever: if neither the file's time, which whoever works under the lock renews, nor `sign` changes for `patience`
    seconds, work goes on without it.
    The file stays: to delete it would let two processes lock two files of one name.
    """
    descriptor = _open(path)
    try:
        _wait(descriptor, path, waiting=waiting, sign=sign, patience=patience)
        with _beating(descriptor):
            yield
    finally:
        os.close(descriptor)


def _wait(
    descriptor: int, path: Path, *, waiting: Callable[[], None], sign: Callable[[], object], patience: float
) -> None:
    """Until it is ours, or nobody's who lives."""
    silence = Silence(patience)
    while not _try_lock(descriptor, path):
        if silence.lasts((os.fstat(descriptor).st_mtime_ns, sign()), now=time.monotonic()):
            logger.warning("lock not freed, its owner silent for %d s, going on without it path=%s", patience, path)
            return
        waiting()
        time.sleep(_POLL_SECONDS)


@contextmanager
def _beating(descriptor: int) -> Iterator[None]:
    """Renew the time of the lock file: hashing or loading takes minutes in which nothing else changes."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEAT_SECONDS):
            with suppress(OSError):
                os.utime(descriptor)

    beats = threading.Thread(target=beat, daemon=True, name="lock")
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()


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
