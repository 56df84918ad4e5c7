"""What /info tells of a loaded model."""

import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from hfmodel_api.wire import MemoryUsage, RuntimeInfo
from hfmodel_runtime.engine.protocol import LoadOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCount:
    """Weights in memory, tied ones counted once."""

    total: int
    trainable: int
    bytes: int


def runtime_info(
    options: LoadOptions,
    model: Any,
    *,
    memory: MemoryUsage,
    seq2seq: bool,
    max_length: int,
    chat_format: str,
    started: float,
) -> RuntimeInfo:
    """`started`: when loading began, by `time.monotonic`."""
    device = model.get_input_embeddings().weight.device.type
    return RuntimeInfo(
        model_id=options.model_id,
        model=options.model,
        revision=options.revision,
        architecture=type(model).__name__,
        seq2seq=seq2seq,
        device=device,
        dtype=str(model.dtype).removeprefix("torch."),
        engine="transformers",
        max_length=max_length,
        chat_format=chat_format,
        memory_usage=memory,
        load_seconds=time.monotonic() - started,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        cuda_devices=_gpu_names() if device == "cuda" else (),
    )


def count_weights(parameters: Iterable[torch.Tensor]) -> WeightCount:
    """Of a model as it was loaded: the engine may give weights another form later."""
    weights = list(parameters)
    return WeightCount(
        total=sum(weight.numel() for weight in weights),
        trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
        bytes=sum(weight.numel() * weight.element_size() for weight in weights),
    )


def memory_usage(weights: WeightCount, *, bytes_per_token: int, token_budget: int) -> MemoryUsage:
    return MemoryUsage(
        total_parameters=weights.total,
        trainable_parameters=weights.trainable,
        estimated_size_mb=weights.bytes / 2**20,
        cache_bytes_per_token=bytes_per_token,
        cache_budget_mb=bytes_per_token * token_budget / 2**20,
        max_concurrent_tokens=token_budget,
    )


def _gpu_names() -> tuple[str, ...]:
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
