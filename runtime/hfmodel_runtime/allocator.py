"""The allocator of a serving process: tcmalloc, where it is installed (Debian's libtcmalloc-minimal4).

A step makes and drops some thousand tensors. With glibc's allocator it takes a tenth to a quarter longer for one row,
and the longer a process has served, the slower it gets (docs/performance.md). An allocator has to be there before
anything else is loaded, so the process replaces itself, once, as the very first thing that it does.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PRELOAD: Final = "LD_PRELOAD"
_LIBRARY: Final = "libtcmalloc_minimal.so.4"


def take_allocator() -> None:
    """Begin this process anew with tcmalloc, if it is there; returns if not. Pid, open files and start time stay."""
    environment = with_allocator(os.environ, installed())
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - no shell wanted


def with_allocator(environment: Mapping[str, str], library: Path | None) -> dict[str, str] | None:
    """`environment` with `library` loaded first; None: nothing is to be changed.

    Whoever has chosen what is loaded first keeps it; an empty `LD_PRELOAD` chooses the system's own allocator.
    """
    return None if library is None or _PRELOAD in environment else {**environment, _PRELOAD: str(library)}


def installed(folders: Sequence[Path] | None = None) -> Path | None:
    """tcmalloc of the first of `folders` that has it; without them, of where distributions put libraries."""
    places = _folders() if folders is None else folders
    return next((folder / _LIBRARY for folder in places if (folder / _LIBRARY).exists()), None)


def allocator_in_use() -> str:
    """`tcmalloc` or `system`, whatever was asked for: the loader goes on without what it cannot load."""
    try:
        return "tcmalloc" if "libtcmalloc" in Path("/proc/self/maps").read_text(encoding="utf-8") else "system"
    except OSError:
        return "system"


def _folders() -> list[Path]:
    """Where distributions put libraries for this machine."""
    if sys.platform != "linux":
        return []
    return [Path("/usr/lib", f"{os.uname().machine}-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/lib")]
