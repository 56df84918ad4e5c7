"""Does the model fit? Asked before its weights are touched: the kernel's answer to a model that does not is a kill."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure
from hfmodel_runtime.engine.hostmemory import Room
from hfmodel_runtime.engine.machine import Machine
from hfmodel_runtime.engine.stored import StoredWeights

_MIB, _GIB = 2**20, 2**30
_LOADING = 85 * _MIB  # measured with a model of no size: what loading imports and builds
_COMPUTING = 256 * _MIB  # that, 100 MiB of libraries' pages, and activations
_CUDA = 1 * _GIB  # of main memory, for its libraries and a context; not measured here, only advised
_ON_THEIR_WAY = 4  # tensors that transformers loads at once
_CACHED_TOKENS = 512  # at least one request of some length
_CACHE_SHARE = 0.4  # of what is left once the weights are loaded; the rest is for copies and activations
_LIMIT_STEP = 256 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that a model takes of the memory of its device."""

    weights: int
    cache: int
    computing: int = _COMPUTING

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.computing


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that is about to be loaded."""

    name: str  # of its architecture
    config: Any  # transformers'
    stored: StoredWeights
    dtype: torch.dtype
    device: torch.device

    def need(self, dtype: torch.dtype) -> Need:
        cache = _CACHED_TOKENS * cache_bytes_per_token(self.config, dtype) / _CACHE_SHARE
        return Need(weights=self.stored.bytes_as(dtype), cache=int(cache))


def check_memory(candidate: Candidate, machine: Machine) -> None:
    """Compare what `candidate` needs with what there is.

    Raises:
        LoadFailure: it does not fit, with both numbers and what to do. Worth another try only where it would fit if
            others took less.
    """
    on_gpu = candidate.device.type == "cuda"
    _check_device(candidate, machine, on_gpu=on_gpu)
    if on_gpu:
        _check_way_to_gpu(candidate, machine)


def _check_device(candidate: Candidate, machine: Machine, *, on_gpu: bool) -> None:
    room = _together([gpu.room for gpu in machine.gpus()]) if on_gpu else machine.memory()
    need = candidate.need(candidate.dtype)
    if need.total <= room.free:
        return
    # What this process holds already counts against a limit on main memory, and stays.
    whole = need.total + (0 if on_gpu else machine.private_bytes())
    fits_alone = whole <= room.total
    raise LoadFailure(
        Reason.OUT_OF_MEMORY,
        f"{_needs(candidate, need)}; {_leaves(room)}. {_advice(candidate, room, whole=whole, fits_alone=fits_alone)}",
        retryable=fits_alone,
    )


def _check_way_to_gpu(candidate: Candidate, machine: Machine) -> None:
    """Refuse what is certain to fail for want of main memory, of which weights for a GPU take far less than their size.

    They are read from mapped files, tensor by tensor, and the kernel takes those pages back where it needs them. But a
    tensor that is stored in another format is converted in main memory before torch copies it, so there must be room
    for the largest of them. Up to four are on their way at once, and CUDA takes some too: neither is certain enough to
    refuse for, both are in the limit that is asked for.
    """
    converted = candidate.stored.converted_at_once(candidate.dtype)
    room, needed = machine.memory(), _LOADING + converted
    if needed <= room.free:
        return
    taken = machine.private_bytes()
    fits_alone = needed + taken <= room.total
    if room.limited:
        way = f"Set resources.limits.memory: {limit_for(taken + _CUDA + _COMPUTING + _ON_THEIR_WAY * converted)}"
    else:
        way = "Unload another model" if fits_alone else "Use a machine with more memory"
    raise LoadFailure(
        Reason.OUT_OF_MEMORY,
        f"{candidate.name} needs {_size(needed)} of main memory to bring its weights to the GPU "
        f"({_size(converted)} for the largest tensor in {_named(candidate.dtype)}); {_leaves(room)}. "
        f"{way}, or use a smaller model",
        retryable=fits_alone,
    )


def cache_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Keys and values of one token in all layers, as far as `config` tells; else 0."""
    text = config.get_text_config(decoder=True)
    layers, heads = _number(text, "num_hidden_layers"), _number(text, "num_attention_heads")
    size = _number(text, "head_dim") or _number(text, "d_kv") or (_number(text, "hidden_size") // heads if heads else 0)
    return 2 * layers * (_key_heads(text) or heads) * size * dtype.itemsize


def _key_heads(text: Any) -> int:
    """Heads that have keys and values; 0: as many as there are."""
    # Falcon's flag; its newer decoder ignores it, and its cache holds them once for each query head.
    if getattr(text, "multi_query", False) is True and not getattr(text, "new_decoder_architecture", False):
        return 1
    return _number(text, "num_key_value_heads")


def _needs(candidate: Candidate, need: Need) -> str:
    count = candidate.stored.floats
    weights = f"{_size(need.weights)} for {count / 1e6:,.0f} million weights in {_named(candidate.dtype)}"
    others = _size(need.cache + need.computing)
    return f"{candidate.name} needs {_size(need.total)} ({weights}, {others} to compute with)"


def _leaves(room: Room) -> str:
    return f"{room.name}, {_size(room.total)}, leaves {_size(room.free)}"


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _advice(candidate: Candidate, room: Room, *, whole: int, fits_alone: bool) -> str:
    smaller = "or use a smaller model"
    if candidate.dtype is torch.float32:
        in_half = candidate.need(torch.bfloat16).total
        smaller = f"or set dtype: bfloat16, which needs {_size(in_half)}, {smaller}"
    if candidate.device.type == "cuda":
        way = "Let another model on this GPU go" if fits_alone else "Set spec.gpu to more or larger GPUs"
    elif room.limited:
        way = f"Set resources.limits.memory: {limit_for(whole)}"
    else:
        way = "Unload another model" if fits_alone else "Use a machine with more memory"
    return f"{way}, {smaller}"


def limit_for(needed: int) -> str:
    """A Kubernetes quantity that holds `needed` bytes, rounded up."""
    steps = math.ceil(needed / _LIMIT_STEP) * _LIMIT_STEP
    return f"{steps // _GIB}Gi" if steps % _GIB == 0 else f"{steps // _MIB}Mi"


def _together(rooms: Sequence[Room]) -> Room:
    """One model is spread over all GPUs."""
    return reduce(
        lambda one, other: Room(
            name="the GPUs' memory", total=one.total + other.total, free=one.free + other.free, shared=True
        ),
        rooms,
    )


def _number(config: Any, key: str) -> int:
    value = getattr(config, key, None)
    return value if isinstance(value, int) else 0


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"
