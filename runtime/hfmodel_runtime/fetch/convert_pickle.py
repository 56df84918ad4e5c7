"""PyTorch's `pytorch_model*.bin` as safetensors: the same tensors under the same names, one file at a time."""

import json
import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.sizes import EnsureSpace
from hfmodel_runtime.fetch.verify import INDEX, WEIGHTS

logger = logging.getLogger(__name__)


def convert_pickle(files: Sequence[Path], target: Path, *, allow_pickle: bool, ensure: EnsureSpace) -> None:
    """Write `files` into `target` as safetensors, with an index if there are several.

    Raises:
        FetchFailure: NoUsableWeights (more than tensors in it, and `allow_pickle` is not set), NoSpace.
    """
    ensure(target, needed=sum(path.stat().st_size for path in files), what="the converted weights")
    weight_map: dict[str, str] = {}
    total = 0
    for number, path in enumerate(files, start=1):
        tensors = _unshared(_tensors(path, allow_pickle=allow_pickle))
        name = WEIGHTS if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        save_file(tensors, target / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (target / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tensors(path: Path, *, allow_pickle: bool) -> dict[str, torch.Tensor]:
    content = _load(path, allow_pickle=allow_pickle)
    if not isinstance(content, Mapping):
        raise FetchFailure(
            Reason.NO_USABLE_WEIGHTS, f"{path.name} holds no weights by name, but {type(content).__name__}"
        )
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise FetchFailure(Reason.NO_USABLE_WEIGHTS, f"{path.name} holds no weights")
    if len(tensors) < len(content):
        logger.warning(
            "entries that are no tensors are left out file=%s count=%d", path.name, len(content) - len(tensors)
        )
    return tensors


def _load(path: Path, *, allow_pickle: bool) -> Any:
    # Only files of torch >= 1.6 are zip archives that can be mapped into memory.
    mapped = _is_zip(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if not allow_pickle:
            message = (
                f"{path.name} holds more than plain tensors, and loading it could run code: "
                "set allowPickle (--allow-pickle) if you trust its author"
            )
            raise FetchFailure(Reason.NO_USABLE_WEIGHTS, message) from error
    logger.warning("loading a full pickle, as allowed file=%s", path.name)
    return torch.load(path, map_location="cpu", weights_only=False, mmap=mapped)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unshared(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share memory (tied embeddings) get their own: safetensors has no aliases, loaders tie them again."""
    seen: set[int] = set()
    own: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone(memory_format=torch.contiguous_format) if storage in seen else tensor.contiguous()
        seen.add(storage)
    return own
