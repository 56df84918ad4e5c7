"""How many CPUs this process may use, as the container's limits have it (torch counts the node's)."""

import os
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def available_cpus(root: Path = _CGROUP_ROOT) -> int:
    """Whole CPUs, at least one: the smaller of the affinity mask and the cgroup's CPU quota, rounded up."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota_v2(root) or _quota_v1(root)
    return max(1, min(allowed, -(-quota[0] // quota[1]))) if quota else allowed


def _quota_v2(root: Path) -> tuple[int, int] | None:
    words = _read(root / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return _positive(words[0], words[1])


def _quota_v1(root: Path) -> tuple[int, int] | None:
    return _positive(_read(root / "cpu" / "cpu.cfs_quota_us"), _read(root / "cpu" / "cpu.cfs_period_us"))


def _positive(quota: str, period: str) -> tuple[int, int] | None:
    try:
        microseconds, every = int(quota), int(period)
    except ValueError:
        return None
    return (microseconds, every) if microseconds > 0 and every > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
