"""How attention is computed, where transformers or torch choose worse than this engine knows."""

import os
from typing import Final

import torch
from torch.nn.functional import scaled_dot_product_attention

from hfmodel_runtime.engine.machine import cpu_computes_bfloat16

_FORCE_GQA: Final = "TRANSFORMERS_SDPA_FORCE_GQA"


def group_queries(device: torch.device) -> None:
    """Let the CPU's kernel share keys and values among the query heads of a group, also under a mask.

    transformers does so under a mask only where it knows that torch can (XPU, MPS), and has this variable for the rest;
    else it copies keys and values for each head of a prompt. CUDA would fall back to a slow kernel.
    """
    if device.type == "cpu":
        os.environ.setdefault(_FORCE_GQA, "1")


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    in_order: bool,
    scale: float | None,
) -> torch.Tensor:
    """What a `query` [rows, heads, tokens, size] finds, of the same shape; heads may share `keys` and `values`.

    Args:
        mask: as torch takes it, the same for all heads.
        in_order: no token sees a later one; without a mask only.
    """
    if query.shape[-2] == 1 and query.dtype == torch.bfloat16 and cpu_computes_bfloat16():
        return _one_token(query, keys, values, mask, scale)
    return scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=in_order, scale=scale, enable_gqa=True
    )


def _one_token(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float | None
) -> torch.Tensor:
    """The heads that share keys as if they were tokens: torch multiplies a single bfloat16 vector by slower means.

    16 rows, 9 heads in 3 groups, 400 columns: 0.34 ms instead of 2.5. Where each head has its own keys the token is
    taken twice: 0.7 ms instead of 2.3.
    """
    rows, heads, _, size = query.shape
    sharing = keys.shape[1]
    together = query.reshape(rows, sharing, heads // sharing, size)
    if heads == sharing:
        together = together.expand(-1, -1, 2, -1)
    found = scaled_dot_product_attention(together, keys, values, attn_mask=mask, scale=scale)
    return found[:, :, : heads // sharing].reshape(rows, heads, 1, -1)
