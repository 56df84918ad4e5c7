"""Commands of the build: low priority, their output in a log, an error that shows its end."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from cluster.errors import ClusterError

_LINES_SHOWN: Final = 15


def tool(name: str, *, package: str) -> str:
    """The path of a program of the machine.

    Raises:
        ClusterError: it is missing; names the Debian `package` that has it.
    """
    path = shutil.which(name)
    if path is None:
        raise ClusterError(f"{name} is missing: sudo apt-get install {package}")
    return path


def last_lines(path: Path, count: int) -> str:
    """The end of a text file, or nothing if it is not there."""
    if not path.exists():
        return ""
    with path.open(errors="replace") as file:
        return "".join(deque(file, maxlen=count)).rstrip()


class Runner(Protocol):
    """Runs a command to its end and returns what it printed on stdout.

    Raises (from calls):
        ClusterError: the program is missing or exits with other than 0.
    """

    def __call__(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str: ...


class NicedRunner:
    """A Runner that yields the processor to everybody else and appends commands and stderr to a log.

    `env` adds to the environment of this process.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._nice = tool("nice", package="coreutils")

    def __call__(self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        with self._log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            done = subprocess.run(
                [self._nice, "-n", "19", *command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            name = Path(command[0]).name
            raise ClusterError(
                f"{name} failed with exit code {done.returncode} (all of it in {self._log}):\n"
                f"{last_lines(self._log, _LINES_SHOWN)}"
            )
        return done.stdout
