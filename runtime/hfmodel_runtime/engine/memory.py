"""How much memory the cache of the running sequences may take."""

from pathlib import Path

import torch

# The rest is for activations, for the copy a batch makes of a layer when rows join or leave, and for the server itself.
_HOST_SHARE = 0.5
_GPU_SHARE = 0.8

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def cache_token_budget(*, bytes_per_token: int, device: torch.device) -> int:
    """Tokens whose keys and values fit beside the weights, which are loaded already; at least one."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(free * _GPU_SHARE) // bytes_per_token)
    return max(1, int(available_host_memory() * _HOST_SHARE) // bytes_per_token)


def available_host_memory(*, root: Path = _CGROUP_ROOT, meminfo: Path = _MEMINFO) -> int:
    """Bytes this process can still take: what the node has left, and what the cgroup's limit leaves."""
    free = _meminfo_available(meminfo)
    limit = _number(root / "memory.max")
    used = _number(root / "memory.current")
    if limit is None or used is None:
        return free
    return max(0, min(free, limit - used + _reclaimable(root / "memory.stat")))


def _meminfo_available(meminfo: Path) -> int:
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError(f"{meminfo} has no MemAvailable")


def _reclaimable(stat: Path) -> int:
    # Page cache of the weights' files counts as used but is given up under pressure.
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
