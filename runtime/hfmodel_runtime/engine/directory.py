"""What can be told of a model directory from its files alone, before anything heavy is loaded."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from hfmodel_api.status import Reason
from hfmodel_runtime.engine.failures import LoadFailure

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_PICKLED_INDEX = "pytorch_model.bin.index.json"
_PICKLED = "pytorch_model.bin"
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken")


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files of a model's weights: safetensors, or pickles that may be loaded."""

    paths: tuple[Path, ...]
    pickled: bool


def read_config(directory: Path) -> dict[str, Any]:
    """config.json as it stands.

    Raises:
        LoadFailure: it is missing, or not a model's config.
    """
    path = directory / "config.json"
    if not directory.is_dir():
        raise LoadFailure(Reason.CONFIG_INVALID, f"{directory} is not a directory; it should hold a model's files")
    if not path.is_file():
        raise LoadFailure(Reason.CONFIG_INVALID, f"{directory} has no config.json; is this a transformers model?")
    config = _json_object(path, Reason.CONFIG_INVALID)
    if not isinstance(config.get("model_type"), str):
        raise LoadFailure(Reason.CONFIG_INVALID, "config.json names no model_type; is this a transformers model?")
    return config


def check_tokenizer_files(directory: Path) -> None:
    """Without these transformers would make up an empty tokenizer."""
    if not any(found.is_file() for pattern in _TOKENIZERS for found in directory.glob(pattern)):
        raise LoadFailure(
            Reason.CONFIG_INVALID,
            f"{directory} has no tokenizer (tokenizer.json, *.model or vocab.json); add its files to the repository",
        )


def check_weights(directory: Path, *, allow_pickle: bool) -> WeightFiles:
    """The files of the weights, every one of them there and, if it is safetensors, whole.

    Raises:
        LoadFailure: no weights, or a file is missing, cut short or corrupt.
    """
    if names := _names(directory, _SINGLE, _INDEX):
        for name in names:
            _check_file(directory / name)
        return WeightFiles(tuple(directory / name for name in names), pickled=False)
    if not (names := _names(directory, _PICKLED, _PICKLED_INDEX)):
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{directory} has no weights (*.safetensors)")
    if not allow_pickle:
        raise LoadFailure(
            Reason.WEIGHTS_INVALID,
            f"{directory} has only pickled weights (.bin), which can run code when loaded; convert them to safetensors "
            "or, if you trust their author, set allowPickle: true",
        )
    for name in names:
        _check_there(directory / name)
    return WeightFiles(tuple(directory / name for name in names), pickled=True)


def _names(directory: Path, single: str, index: str) -> list[str]:
    if (directory / single).is_file():
        return [single]
    return _indexed(directory / index) if (directory / index).is_file() else []


def _indexed(index: Path) -> list[str]:
    weight_map = _json_object(index, Reason.WEIGHTS_INVALID).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{index.name} has no weight_map; download the model again")
    return sorted({str(name) for name in weight_map.values()})


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise LoadFailure(Reason.WEIGHTS_INVALID, f"{path.name} is missing; download the model again")


def _check_file(path: Path) -> None:
    _check_there(path)
    try:
        # Reads the header and compares it with the file's size.
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise LoadFailure(
            Reason.WEIGHTS_INVALID, f"{path.name} is cut short or corrupt ({error}); download the model again"
        ) from error


def _json_object(path: Path, reason: Reason) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadFailure(reason, f"{path.name} cannot be read as JSON ({error}); download the model again") from error
    if not isinstance(content, dict):
        raise LoadFailure(reason, f"{path.name} is not a JSON object; download the model again")
    return content
