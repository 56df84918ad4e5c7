"""How much memory the cache may take: of the running sequences, and of beginnings that may come again."""

import torch

from hfmodel_runtime.engine.hostmemory import Room, host_room

# The rest is for activations, for the copy a batch makes of a layer when rows join or leave, and for the server itself.
_HOST_SHARE = 0.4
_GPU_SHARE = 0.7
_PREFIX_SHARE = 0.1
_MOST_FOR_PREFIXES = 2 * 2**30  # bytes; on a large node, more would hardly be looked at again


def cache_token_budget(*, bytes_per_token: int, device: torch.device) -> int:
    """Tokens whose keys and values fit beside the weights, which are loaded already; at least one."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(free * _GPU_SHARE) // bytes_per_token)
    return max(1, int(available_host_memory() * _HOST_SHARE) // bytes_per_token)


def prefix_bytes(device: torch.device) -> int:
    """Bytes for the states of beginnings that may come again, beside those of the running sequences."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_host_memory()
    return min(_MOST_FOR_PREFIXES, int(free * _PREFIX_SHARE))


def available_host_memory(room: Room | None = None) -> int:
    """Bytes to plan with: what is left of a limit of this process's own, and half of what is left where others may take
    of it too. So two that load at the same time never plan with the same bytes.

    Args:
        room: the tightest bound; read from this machine if not given.
    """
    room = room or host_room()
    return room.free // 2 if room.shared else room.free
