"""One control plane per user that stays up between commands: `python -m cluster up` and `down`.

The process that holds it keeps a lock for as long as it lives, and the kernel names the process behind a lock. So
nothing here can take a dead plane for a live one, or signal a stranger that was given an old number.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cluster.binaries import cache_folder
from cluster.commands import last_lines
from cluster.controlplane import ControlPlane, control_plane
from cluster.errors import ClusterError

_POLL_SECONDS: Final = 0.1
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = 1.0
_FLOCK: Final = "hhqqi"  # struct flock: l_type, l_whence, l_start, l_len, l_pid


@dataclass(frozen=True, slots=True)
class Session:
    """The plane that is up, by the files in `folder`."""

    folder: Path

    @classmethod
    def of_this_user(cls) -> Self:
        return cls(cache_folder().parent / "session")

    @property
    def kubeconfig(self) -> Path:
        """A link that is there while the plane is ready."""
        return self.folder / "kubeconfig"

    @property
    def log(self) -> Path:
        """What a plane in the background says."""
        return self.folder / "session.log"

    def hold(self) -> None:
        """Start a plane, print the path of its kubeconfig and hold it until SIGINT or SIGTERM.

        Raises:
            ClusterError: one is up already, it does not start, or one of its servers exits.
        """
        with suppress(KeyboardInterrupt), self._claimed():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with control_plane(parent=self._planes()) as plane, self._published(plane):
                print(self.kubeconfig, flush=True)
                while True:
                    time.sleep(_WATCH_SECONDS)
                    plane.check()

    def start(self) -> Path:
        """Have a plane held in the background, unless one is up; returns the kubeconfig once it answers.

        Raises:
            ClusterError: it does not start; carries the end of its log.
        """
        spawned = self._spawn() if self.holder() is None else None
        deadline = time.monotonic() + _START_SECONDS
        while not self.kubeconfig.exists():
            coming = self.holder() is not None or (spawned is not None and spawned.poll() is None)
            if not coming or time.monotonic() > deadline:
                self.stop()
                raise ClusterError(f"the cluster did not start (all of it in {self.log}):\n{last_lines(self.log, 30)}")
            time.sleep(_POLL_SECONDS)
        return self.kubeconfig

    def stop(self) -> bool:
        """End the plane that is up and wait until it is gone; False if there is none.

        Raises:
            ClusterError: it does not end.
        """
        holder = self.holder()
        if holder is None:
            return False
        os.kill(holder, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self.holder() == holder:
            if time.monotonic() > deadline:
                raise ClusterError(f"the process {holder} that holds the cluster does not end")
            time.sleep(_POLL_SECONDS)
        return True

    def holder(self) -> int | None:
        """The process that holds a plane now, if any."""
        try:
            file = self._lock.open("rb")
        except FileNotFoundError:
            return None
        with file:
            question = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_rest, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, question))
        return None if kind == fcntl.F_UNLCK else pid

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    def _planes(self) -> Path:
        """The folder that planes are made in, without what is left of one whose holder was killed."""
        planes = self.folder / "planes"
        shutil.rmtree(planes, ignore_errors=True)
        planes.mkdir()
        return planes

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("wb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ClusterError(f"a cluster is up already: KUBECONFIG={self.kubeconfig}") from error
            yield

    @contextmanager
    def _published(self, plane: ControlPlane) -> Iterator[None]:
        self.kubeconfig.unlink(missing_ok=True)
        self.kubeconfig.symlink_to(plane.kubeconfig)
        try:
            yield
        finally:
            self.kubeconfig.unlink()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Left by a holder that was killed.
        self.kubeconfig.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cluster", "up"],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
