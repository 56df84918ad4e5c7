"""One cluster per user, of either level, that stays up between commands: `python -m cluster up` and `down`.

The process that holds it keeps a lock for as long as it lives, and the kernel names the process behind a lock. So
nothing here can take a dead cluster for a live one, or signal a stranger that was given an old number.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from cluster.binaries import cache_folder
from cluster.commands import last_lines
from cluster.containerd import load_image
from cluster.controlplane import control_plane
from cluster.errors import ClusterError
from cluster.namespaces import Inside
from cluster.node import node_cluster

_POLL_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = 1.0
_FLOCK: Final = "hhqqi"  # struct flock: l_type, l_whence, l_start, l_len, l_pid


class Cluster(Protocol):
    """What a session holds."""

    @property
    def kubeconfig(self) -> Path: ...

    def check(self) -> None:
        """Raise ClusterError if a server has exited."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is started: by which options of `up`, within how many seconds, and by what; it makes a folder in the one
    that it is given.
    """

    options: tuple[str, ...]
    seconds: float
    start: Callable[[Path], AbstractContextManager[Cluster]]


CONTROL_PLANE: Final = Level((), 90.0, lambda parent: control_plane(parent=parent))
NODE: Final = Level(("--node",), 150.0, lambda parent: node_cluster(parent=parent))


@dataclass(frozen=True, slots=True)
class Session:
    """The cluster that is up, by the files in `folder`."""

    folder: Path

    @classmethod
    def of_this_user(cls) -> Self:
        return cls(cache_folder().parent / "session")

    @property
    def kubeconfig(self) -> Path:
        """A link that is there while the cluster is ready."""
        return self.folder / "kubeconfig"

    @property
    def log(self) -> Path:
        """What a cluster in the background says."""
        return self.folder / "session.log"

    @property
    def inside(self) -> Inside | None:
        """The namespaces of the node that is up, if any."""
        if self.holder() is None:
            return None
        with suppress(FileNotFoundError):
            return Inside.of(self.kubeconfig.resolve().parent)
        return None

    def hold(self, level: Level) -> None:
        """Start a cluster, print the path of its kubeconfig and hold it until SIGINT or SIGTERM.

        Raises:
            ClusterError: one is up already, it does not start, or one of its servers exits.
        """
        with suppress(KeyboardInterrupt), self._claimed():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with level.start(self._clusters()) as cluster, self._published(cluster):
                print(self.kubeconfig, flush=True)
                while True:
                    time.sleep(_WATCH_SECONDS)
                    cluster.check()

    def start(self, level: Level) -> Path:
        """Have a cluster held in the background, unless one is up; returns the kubeconfig once it answers.

        Raises:
            ClusterError: it does not start; carries the end of its log. Or a node is asked for and a cluster without
                one is up.
        """
        spawned = self._spawn(level) if self.holder() is None else None
        deadline = time.monotonic() + level.seconds
        while not self.kubeconfig.exists():
            coming = self.holder() is not None or (spawned is not None and spawned.poll() is None)
            if not coming or time.monotonic() > deadline:
                self.stop()
                raise ClusterError(f"the cluster did not start (all of it in {self.log}):\n{last_lines(self.log, 30)}")
            time.sleep(_POLL_SECONDS)
        if level is NODE and self.inside is None:
            raise ClusterError("a cluster without a node is up: take it down first")
        return self.kubeconfig

    def load(self, archive: Path) -> tuple[str, ...]:
        """Give the node that is up the images of an archive; returns their names.

        Raises:
            ClusterError: no node is up, or as `containerd.load_image`.
        """
        inside = self.inside
        if inside is None:
            raise ClusterError("no cluster with a node is up: start one by `python -m cluster up --node --detach`")
        return load_image(inside, archive)

    def stop(self) -> bool:
        """End the cluster that is up and wait until it is gone; False if there is none.

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
        """The process that holds a cluster now, if any."""
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

    def _clusters(self) -> Path:
        """The folder that clusters are made in, without what is left of one whose holder was killed."""
        clusters = self.folder / "clusters"
        shutil.rmtree(clusters, ignore_errors=True)
        clusters.mkdir()
        return clusters

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
    def _published(self, cluster: Cluster) -> Iterator[None]:
        self.kubeconfig.unlink(missing_ok=True)
        self.kubeconfig.symlink_to(cluster.kubeconfig)
        try:
            yield
        finally:
            self.kubeconfig.unlink()

    def _spawn(self, level: Level) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Left by a holder that was killed.
        self.kubeconfig.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cluster", "up", *level.options],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
