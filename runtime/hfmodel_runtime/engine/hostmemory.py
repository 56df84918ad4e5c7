"""The memory this process may take: the node's, and that of the cgroups it is in (a container's limit is one)."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_NO_LIMIT = 2**60  # version 1 writes "no limit" as a number of this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Memory with a bound, in bytes."""

    name: str  # "the memory limit"
    total: int
    free: int  # what this process can still take
    shared: bool  # others may take of it too, unasked
    limited: bool = False  # by a limit that somebody set


@dataclass(frozen=True, slots=True)
class _Files:
    """How one version of cgroups names what is read here."""

    limit: str
    used: str
    stat_prefix: str


_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
_V2 = _Files("memory.max", "memory.current", "")


def host_room(*, root: Path = _CGROUP_ROOT, proc: Path = _PROC) -> Room:
    """The tightest of all bounds.

    Args:
        root: where cgroups are mounted.

    Raises:
        OSError: this is not Linux.
    """
    return min((_node(proc), *_limits(root, proc)), key=lambda room: room.free)


def private_bytes(proc: Path = _PROC) -> int:
    """What this process has taken for itself, mapped files aside."""
    return _kilobytes(proc / "self" / "status", "RssAnon")


def _node(proc: Path) -> Room:
    meminfo = proc / "meminfo"
    total, free = _kilobytes(meminfo, "MemTotal"), _kilobytes(meminfo, "MemAvailable")
    return Room(name="this machine's memory", total=total, free=free, shared=True)


def _limits(root: Path, proc: Path) -> Iterator[Room]:
    for directory, files in _cgroups(root, proc):
        limit, used = _number(directory / files.limit), _number(directory / files.used)
        if limit is not None and used is not None and limit < _NO_LIMIT:
            free = max(0, limit - used + _reclaimable(directory / "memory.stat", files.stat_prefix))
            shared = _has_others(directory)
            yield Room(name="the memory limit", total=limit, free=free, shared=shared, limited=True)


def _cgroups(root: Path, proc: Path) -> Iterator[tuple[Path, _Files]]:
    """This process's cgroup and those around it. In a container, `root` itself is usually its own."""
    for line in _read(proc / "self" / "cgroup").splitlines() or ["0::/", "0:memory:/"]:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from ((each, _V2) for each in _upwards(root, path))
        elif "memory" in controllers.split(","):
            yield from ((each, _V1) for each in _upwards(root / "memory", path))


def _upwards(base: Path, path: str) -> Sequence[Path]:
    # A path that leads out of what is mounted ("/../x") is somebody else's view of this process.
    parts = [part for part in path.split("/") if part]
    known = [] if ".." in parts else parts
    return [base.joinpath(*known[:count]) for count in range(len(known), -1, -1)]


def _has_others(cgroup: Path) -> bool:
    """Whether processes beside this one, or cgroups of others, are in it."""
    if any(int(pid) != os.getpid() for pid in _read(cgroup / "cgroup.procs").split()):
        return True
    return any(child.is_dir() for child in cgroup.iterdir())


def _reclaimable(stat: Path, prefix: str) -> int:
    """Page cache counts as used, but is given up under pressure: what was not used lately, and half of what was."""
    counts = dict(line.split(maxsplit=1) for line in _read(stat).splitlines() if " " in line)
    return int(counts.get(f"{prefix}inactive_file", 0)) + int(counts.get(f"{prefix}active_file", 0)) // 2


def _kilobytes(path: Path, key: str) -> int:
    """A line "key: n kB", in bytes."""
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise OSError(f"{path} has no {key}")


def _number(path: Path) -> int | None:
    try:
        return int(_read(path))
    except ValueError:  # no such file, or "max"
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
