"""Is a process still there? Waiting for the end of processes that are nobody's children any more."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE_SECONDS = 20.0


def alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(parent: int) -> set[int]:
    """Its living children."""
    found = set()
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdecimal() and parent_of(int(directory.name)) == parent:
                found.add(int(directory.name))
        except OSError:
            continue  # it has ended meanwhile
    return {pid for pid in found if alive(pid)}


def with_marker(marker: str) -> set[int]:
    """All running processes that were started with `marker` in their environment, or whose parent was."""
    found = set()
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdecimal() and marker.encode() in (directory / "environ").read_bytes():
                found.add(int(directory.name))
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    return {pid for pid in found if alive(pid)}


def wait_until_gone(pids: Callable[[], Iterable[int]]) -> None:
    """Raises AssertionError if any of `pids` lives on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [pid for pid in pids() if alive(pid)]:
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.02)


async def eventually(holds: Callable[[], object], what: str = "") -> None:
    """Wait until `holds()` is true. Raises AssertionError if it stays false."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what or f"{holds} stayed false"
        await asyncio.sleep(0.01)
