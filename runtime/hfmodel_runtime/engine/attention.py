"""How transformers computes attention, where it chooses worse than this engine knows."""

import os
from typing import Final

import torch

_FORCE_GQA: Final = "TRANSFORMERS_SDPA_FORCE_GQA"


def group_queries(device: torch.device) -> None:
    """Let the CPU's kernel share keys and values among the query heads of a group, also under a mask.

    transformers does so under a mask only where it knows that torch can (XPU, MPS), and has this variable for the rest;
    else it copies keys and values for each head of a prompt. CUDA would fall back to a slow kernel.
    """
    if device.type == "cpu":
        os.environ.setdefault(_FORCE_GQA, "1")
