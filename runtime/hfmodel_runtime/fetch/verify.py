"""Is this directory a model that can be loaded? Looks at headers and sizes, reads no weights."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def check_model_directory(directory: Path) -> None:
    """config.json parses, and every safetensors file it needs is there in full.

    Raises:
        FetchFailure: ConfigInvalid, WeightsInvalid, NoUsableWeights.
    """
    read_config(directory)
    for path in _weight_files(directory):
        check_safetensors(path)


def read_config(directory: Path) -> dict[str, Any]:
    """config.json as a mapping. Raises FetchFailure(ConfigInvalid)."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FetchFailure(Reason.CONFIG_INVALID, f"{directory} has no config.json") from error
    except ValueError as error:
        raise FetchFailure(Reason.CONFIG_INVALID, f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise FetchFailure(Reason.CONFIG_INVALID, f"{path} is not a JSON object")
    return config


def read_shards(index: Path) -> frozenset[str]:
    """The files that a weights index names. Raises FetchFailure(WeightsInvalid)."""
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = frozenset(str(shard) for shard in shards)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchFailure(Reason.WEIGHTS_INVALID, f"{index} is not a weights index") from error
    if not names or any("/" in name or name.startswith(".") for name in names):
        raise FetchFailure(Reason.WEIGHTS_INVALID, f"{index} does not name weight files beside it")
    return names


def check_safetensors(path: Path) -> None:
    """The header is sound and the file as long as it says. Raises FetchFailure(WeightsInvalid)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(_LENGTH_BYTES)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == _LENGTH_BYTES else None
        if length is None or length > min(size - _LENGTH_BYTES, _MAX_HEADER_BYTES):
            raise _damaged(path, "it is cut off in its header, or not a safetensors file")
        end = _data_end(path, file.read(length))
    expected = _LENGTH_BYTES + length + end
    if size != expected:
        raise _damaged(path, f"it has {size} bytes, its header promises {expected}")


def _data_end(path: Path, header: bytes) -> int:
    try:
        tensors = json.loads(header)
        ends = [int(tensor["data_offsets"][1]) for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(path, "its header cannot be read") from error
    return max(ends, default=0)


def _weight_files(directory: Path) -> list[Path]:
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if not (directory / INDEX).is_file():
        raise FetchFailure(Reason.NO_USABLE_WEIGHTS, f"{directory} has no {WEIGHTS}")
    paths = [directory / name for name in sorted(read_shards(directory / INDEX))]
    for path in paths:
        if not os.access(path, os.R_OK):
            raise FetchFailure(Reason.WEIGHTS_INVALID, f"{INDEX} names {path.name}, which is not in {directory}")
    return paths


def _damaged(path: Path, how: str) -> FetchFailure:
    return FetchFailure(Reason.WEIGHTS_INVALID, f"{path} is damaged: {how}")
