"""Forking from a process of one thread: children that are clean, that end with their parent, and that are noticed."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@contextmanager
def woken_by_children() -> Iterator[int]:
    """A file descriptor that gets a byte whenever a child ends."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
        os.close(reading)
        os.close(writing)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child that has not been waited for."""
    try:
        # A killed child takes its own children along; a gentler signal is for the child to handle.
        (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)
    except ProcessLookupError:
        # Its group does not exist until it has called setsid.
        os.kill(pid, number)


def fork(work: Callable[[], int], *, keep: int, log: int) -> int:
    """Run `work` in a child with `keep` open and its output in `log`; its value is the exit code. Returns the pid."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that came between fork and the reset of the handlers would be taken for one of the parent's.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.Signals)
    pid = os.fork()
    if pid == 0:
        _child(work, keep=keep, log=log, parent=parent, mask=mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _child(work: Callable[[], int], *, keep: int, log: int, parent: int, mask: set[Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _reset_signals(mask)
        _die_with(parent)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _close_all_but(keep)
        code = work()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's stack
        traceback.print_exc()
    finally:
        finish(code)


def finish(code: int) -> NoReturn:
    """End without finalising the interpreter: a thread may still be deep in native code."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _reset_signals(mask: set[Any]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent, `parent`, ends; end now if it has ended already."""
    if _LIBC is not None and _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def _close_all_but(keep: int) -> None:
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
