"""The parent from which runtimes are forked, seen from `hfmodel up`.

`python -m hfmodel_runtime zygote` (that module says what it speaks) has torch imported already. It is restarted when it
ends; the runtimes it had are gone with it.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hfmodel_cli.local.processes import (
    Exit,
    Launch,
    LaunchFailed,
    RuntimeProcess,
    child_environment,
    start_tethered,
    to_the_end,
)

logger = logging.getLogger(__name__)

_BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_CLOSE_SECONDS = 2.0


class _Forked:
    """A child of the zygote."""

    def __init__(self, zygote: "_Connection", pid: int, port: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self.url = f"http://127.0.0.1:{port}"
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def send_signal(self, number: signal.Signals) -> None:
        if self.exit.done():
            return
        try:
            await self._zygote.request(_signal_request(self.pid, number))
        except LaunchFailed as error:
            logger.debug("event=signal_refused pid=%d error=%s", self.pid, error)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.exit)


def _signal_request(pid: int, number: signal.Signals) -> dict[str, Any]:
    return {"cmd": "signal", "pid": pid, "signal": int(number)}


class _Connection:
    """The control socket of one zygote, from its start to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies: dict[int, asyncio.Future[_Forked | None]] = {}
        self._children: dict[int, _Forked] = {}
        self._last_id = 0
        self._gone = ""  # why, once it is
        self._failure = ""  # what the zygote said before it gave up
        self.ready = asyncio.Event()

    async def request(self, message: Mapping[str, Any]) -> _Forked | None:
        """The child that a spawn made, None for other requests. Raises LaunchFailed."""
        if self._gone:
            raise LaunchFailed(self._gone)
        reply: asyncio.Future[_Forked | None] = asyncio.get_running_loop().create_future()
        self._post(message, reply)
        return await reply

    async def read_to_end(self) -> None:
        """Handle what the zygote says until it is gone; then everything it had is gone too."""
        try:
            while line := await self._reader.readline():
                self._handle(json.loads(line))
        except (OSError, ValueError) as error:
            logger.warning("event=zygote_lost error=%r", error)
        finally:
            self._lost()

    def close(self) -> None:
        self._writer.close()

    def _post(self, message: Mapping[str, Any], reply: "asyncio.Future[_Forked | None]") -> None:
        self._last_id += 1
        self._replies[self._last_id] = reply
        self._writer.write(json.dumps({"id": self._last_id, **message}).encode() + b"\n")

    def _handle(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"event": "ready"}:
                self.ready.set()
            case {"event": "failed", "message": str(text)}:
                self._failure = text
            case {"event": "exit", "pid": int(pid)}:
                self._children.pop(pid).exit.set_result(Exit(message["code"], message["signal"]))
            case {"id": int(number), "error": error}:
                _fail(self._replies.pop(number), str(error))
            case {"id": int(number), "pid": int(pid), "port": int(port)}:
                self._spawned(self._replies.pop(number), _Forked(self, pid, port))
            case {"id": int(number)}:
                _succeed(self._replies.pop(number), None)

    def _spawned(self, reply: "asyncio.Future[_Forked | None]", child: _Forked) -> None:
        self._children[child.pid] = child
        if not _succeed(reply, child):
            # Whoever asked has gone meanwhile, so nobody would ever end it.
            self._post(_signal_request(child.pid, signal.SIGKILL), asyncio.get_running_loop().create_future())

    def _lost(self) -> None:
        self._writer.close()
        self._gone = self._failure or "the parent of the runtimes ended"
        for reply in self._replies.values():
            _fail(reply, self._gone)
        for child in self._children.values():
            child.exit.set_result(Exit(None, signal.SIGKILL, self._gone))
        self._replies, self._children = {}, {}


def _succeed(reply: "asyncio.Future[_Forked | None]", value: _Forked | None) -> bool:
    if reply.done():
        return False
    reply.set_result(value)
    return True


def _fail(reply: "asyncio.Future[_Forked | None]", why: str) -> None:
    if not reply.done():
        reply.set_exception(LaunchFailed(why))


class Zygote:
    """A `Launcher` that forks runtimes from one parent with everything imported.

    Args:
        log: a file that its output is appended to (each runtime has a log of its own).
    """

    def __init__(self, *, log: Path, env: Mapping[str, str], command: Sequence[str] | None = None) -> None:
        self._log = log
        self._env = child_environment(env)
        self._command = command or (sys.executable, "-m", "hfmodel_runtime", "zygote", "--control-fd", "0")
        self._connection: _Connection | None = None
        self._connected = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it in the background; launches wait for it."""
        self._task = asyncio.create_task(self._supervise(), name="zygote")

    async def launch(self, launch: Launch) -> RuntimeProcess:
        async with self._connected:
            await self._connected.wait_for(lambda: self._connection is not None)
            connection = self._connection
        child = await connection.request({"cmd": "spawn", **asdict(launch)}) if connection else None
        if child is None:
            raise LaunchFailed("the parent of the runtimes did not start it")
        return child

    async def close(self) -> None:
        """End it and whatever it still has."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _supervise(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            was_ready = False
            try:
                was_ready = await self._run_once()
            except OSError:
                logger.exception("event=zygote_start_failed")
            failures = 1 if was_ready else failures + 1
            logger.warning("event=zygote_ended failures=%d", failures)

    async def _run_once(self) -> bool:
        """One zygote from start to end. True if it was ever ready."""
        ours, theirs = socket.socketpair()
        connection = _Connection(*await asyncio.open_connection(sock=ours))
        try:
            with theirs, self._log.open("ab") as log:
                process = await start_tethered(self._command, env=self._env, stdin=theirs, stdout=log, stderr=log)
            try:
                await self._connect(connection)
                await connection.read_to_end()
            finally:
                self._connection = None
                connection.close()
                await to_the_end(_end(process, at_once=not connection.ready.is_set()))
        finally:
            connection.close()
        return connection.ready.is_set()

    async def _connect(self, connection: _Connection) -> None:
        async with self._connected:
            self._connection = connection
            self._connected.notify_all()


async def _end(process: asyncio.subprocess.Process, *, at_once: bool) -> None:
    """Wait for a zygote that was told to end (its socket is closed); one that still imports is not listening."""
    try:
        async with asyncio.timeout(0 if at_once else _CLOSE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
