"""The rig's API server: paused, or killed and started again with the same command line."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from chaos.processes import command_of, kill, send
from cluster.errors import ClusterError
from cluster.node import NodeCluster
from cluster.packages import SYSTEM_PATH
from cluster.processes import Server
from cluster.readiness import missing_from_api
from support.alive import children_of

_NAME: Final = "kube-apiserver"
_POLL_SECONDS: Final = 0.2
_ENVIRONMENT: Final = {"PATH": SYSTEM_PATH, "HOME": "/root"}


@dataclass(slots=True)
class ApiServer:
    """The API server of `cluster`, `holder` being the process that brought it into the node's namespaces.

    What is started here ends with those namespaces. Use it in the main thread: a server dies with its thread.
    """

    cluster: NodeCluster
    holder: int
    _started: Server | None = None

    @classmethod
    def of(cls, cluster: NodeCluster) -> Self:
        return cls(cluster, next(server.pid for server in cluster.plane.servers if server.name == _NAME))

    async def pause(self, *, seconds: float) -> None:
        """It answers nobody for so long; connections stay open."""
        pid = self._pid()
        send(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            send(pid, signal.SIGCONT)
            send(self.holder, signal.SIGCONT)  # it stops with its child

    async def restart(self) -> None:
        """Kill it, start it again, return when it is ready."""
        pid = self._pid()
        command = command_of(pid)
        await kill(pid)
        self._start(command)
        while not self._ready():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End what was started here."""
        if self._started is not None:
            self._started.stop()

    def _start(self, command: Sequence[str]) -> None:
        self.close()
        inside, folder = self.cluster.inside, self.cluster.folder
        self._started = Server(inside.command(command), folder=folder, name=f"{_NAME}-again", env=_ENVIRONMENT)
        self.holder = self._started.pid

    def _ready(self) -> bool:
        if self._started is not None:
            self._started.check()
        with suppress(ClusterError, OSError):
            return missing_from_api(self.cluster.plane.api()) is None
        return False

    def _pid(self) -> int:
        (pid,) = children_of(self.holder)
        return pid
