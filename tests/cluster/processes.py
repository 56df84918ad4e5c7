"""Servers of the rig: started with their output in a log file, never outliving the process that started them."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cluster.commands import last_lines
from cluster.errors import ClusterError

_LINES_SHOWN: Final = 20
_STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


def _die_with(parent: int) -> None:
    """Called in the child before it becomes the server: when the thread that started it ends, it is killed.

    Popen returns after this, so a server that anybody knows of is bound already.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


class Server:
    """A running server.

    The kernel kills it when the thread that started it ends, however that happens (PDEATHSIG): start servers from a
    thread that lives as long as they should, such as the main thread.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, name: str | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `command`, working in `folder`, with its output in `folder`/NAME.log.

        Args:
            command: a program and its arguments.
            folder: exists.
            name: of the server and its log; that of the program unless told.
            env: its whole environment; that of this process unless told.

        Raises:
            ClusterError: there is no such program, or it cannot be run.
        """
        self.name = name or Path(command[0]).name
        self.log = folder / f"{self.name}.log"
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C at a terminal is for the process that holds the rig; it then stops its servers in order.
                    process_group=0,
                    preexec_fn=partial(_die_with, os.getpid()),
                )
            except OSError as error:
                raise ClusterError(f"{command[0]} does not start: {error.strerror}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise ClusterError, with the end of the log, if the server has exited."""
        code = self._process.poll()
        if code is not None:
            raise ClusterError(f"{self.name} exited with code {code}:\n{self.log_end()}")

    def log_end(self) -> str:
        return last_lines(self.log, _LINES_SHOWN)

    def stop(self, *, grace: float = _STOP_SECONDS) -> None:
        """Ask it to end, after `grace` seconds make it; returns when it is gone. Again is harmless."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
            return
        self._process.kill()
        self._process.wait()


class ReservedPort:
    """A free TCP port that nobody but a server told its number can get while the reservation lasts.

    The kernel hands a bound port to no other; a server that sets SO_REUSEADDR, as every Go program does, may still
    listen on it.
    """

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
