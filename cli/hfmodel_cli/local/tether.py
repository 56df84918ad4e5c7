"""Run a command that the kernel kills when its parent ends, however that ends (also by kill -9).

Run as a script of its own, `python -I -S tether.py PARENT COMMAND...`: Linux ties a death signal to the calling process
and keeps it over exec, and code between fork and exec (`preexec_fn`) is not safe in a program that has threads.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tether(parent: int) -> None:
    """Die with `parent`, or now if it is gone. Does nothing where the kernel has no such thing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    tether(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell wanted
