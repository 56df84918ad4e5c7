"""Processes in place of containers: what local mode needs of them, and how it starts one that cannot outlive it."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hfmodel_api.errors import HFModelError
from hfmodel_api.names import SECRET_VARIABLES

_TETHER = Path(__file__).with_name("tether.py")


class LaunchFailed(HFModelError):
    """A process could not be started; its text says why."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by itself with `code`, or by `signal`."""

    code: int | None
    signal: int | None = None
    message: str = ""  # said by whoever knows more than the number

    def __str__(self) -> str:
        if self.message:
            return self.message
        if self.signal is not None:
            return f"was ended by {_signal_name(self.signal)}"
        return f"ended with exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a runtime is started with."""

    settings: Mapping[str, Any]  # fields of the runtime's ServeSettings, as JSON has them
    env: Mapping[str, str]
    log: str  # a file; the process appends its output


class RuntimeProcess(Protocol):
    """A started runtime."""

    @property
    def pid(self) -> int: ...

    @property
    def url(self) -> str:
        """Where it listens, from before it is returned."""

    async def send_signal(self, number: signal.Signals) -> None:
        """Does nothing once the process has ended."""

    async def wait(self) -> Exit: ...


class Launcher(Protocol):
    """Starts runtimes."""

    async def launch(self, launch: Launch) -> RuntimeProcess:
        """Raises LaunchFailed."""


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that serves: no secret is in it."""
    return {name: value for name, value in environment.items() if name not in SECRET_VARIABLES}


async def start_tethered(
    command: Sequence[str], *, env: Mapping[str, str], **options: Any
) -> asyncio.subprocess.Process:
    """Start `command` in a session of its own (Ctrl-C is not for it), to be killed when this process ends.

    Cancelled while it starts, it leaves no process.
    """
    wrapped = (sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command)
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*wrapped, env=dict(env), start_new_session=True, **options)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        process = await starting
        process.kill()
        await process.wait()
        raise


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do all of `work`, whoever cancels meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
