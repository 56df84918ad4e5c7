"""Processes of this machine, found by what they were started with, and signals to them."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from support.alive import alive

_POLL_SECONDS: Final = 0.02


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def kill(pid: int) -> bool:
    """SIGKILL; returns when it is dead: whether it was still there."""
    was_there = send(pid, signal.SIGKILL)
    await until_dead(pid)
    return was_there


async def until_dead(pid: int) -> None:
    """Return when the process is gone."""
    while alive(pid):  # noqa: ASYNC110 - no event tells of a process that is nobody's child here
        await asyncio.sleep(_POLL_SECONDS)


async def pause(pid: int, *, seconds: float) -> bool:
    """SIGSTOP, and SIGCONT after so many seconds: whether it was still there."""
    if not send(pid, signal.SIGSTOP):
        return False
    try:
        await asyncio.sleep(seconds)
    finally:
        send(pid, signal.SIGCONT)
    return True


def stdout_of(pid: int) -> Path | None:
    """The file that it writes to; None where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/fd/1").readlink()
    return None


def variable_of(pid: int, name: str) -> str:
    """What a variable was when the process started; empty where it was not set, or the process has ended."""
    with suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        prefix = f"{name}=".encode()
        return next((each.removeprefix(prefix).decode() for each in variables if each.startswith(prefix)), "")
    return ""


def command_of(pid: int) -> list[str]:
    """Its program and arguments; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    return []


def all_processes() -> list[int]:
    """The numbers of all processes of this machine."""
    return sorted(int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal())
