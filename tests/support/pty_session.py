"""A program at a terminal of its own, typed at and read like a person would."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

_SECONDS = 60.0
# The child makes the terminal its controlling one, so that Ctrl-C reaches it as a signal.
_START = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from hfmodel_cli.main import main; main(sys.argv[1:])"
)
CTRL_D = "\x04"


class PtySession:
    """What the program has shown so far, and a keyboard."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._process = process
        self._unread = ""
        self.shown = ""

    def expect(self, text: str) -> str:
        """Read until `text` shows; returns what came before it. What follows is left for the next call."""
        while text not in self._unread:
            self._read()
        before, _, self._unread = self._unread.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def press_ctrl_c(self) -> None:
        """Type it once the program waits for something, as it does long before a person's finger comes down.

        CPython finds a signal at its next look, and readline's `input` looks only where the signal ends its wait:
        one that comes between an echo and that wait stays unseen until the next key.
        """
        deadline = time.monotonic() + _SECONDS
        while psutil.Process(self._process.pid).status() != psutil.STATUS_SLEEPING:
            if time.monotonic() > deadline:
                raise TimeoutError(f"it never waits; so far: {self.shown!r}")
            time.sleep(0.001)
        self.type("\x03")

    def exit_code(self) -> int:
        """Read to the end and wait."""
        try:
            while True:
                self._read()
        except EOFError:
            return self._process.wait(timeout=_SECONDS)

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], _SECONDS)
        if not ready:
            raise TimeoutError(f"nothing more came; so far: {self.shown!r}")
        try:
            data = os.read(self._master, 65536)
        except OSError as error:  # Linux says so at the end of a terminal
            raise EOFError(self.shown) from error
        if not data:
            raise EOFError(self.shown)
        text = data.decode(errors="replace")
        self.shown += text
        self._unread += text


@contextmanager
def hfmodel_at_terminal(*arguments: str, term: str = "dumb") -> Iterator[PtySession]:
    """`hfmodel` with these arguments."""
    yield from _session([sys.executable, "-c", _START, *arguments], term)


def _session(command: Sequence[str], term: str) -> Iterator[PtySession]:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    try:
        yield PtySession(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
